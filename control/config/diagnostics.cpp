#include "control/config/diagnostics.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace sluice::control {

void Diagnostics::add(Mark mark, std::string message) { found_.emplace_back(mark, std::move(message)); }

std::string Diagnostics::where(Mark mark) const {
  if (source_.empty()) return fmt::format("column {}", mark.column);
  return fmt::format("{}:{}:{}", source_, mark.line, mark.column);
}

std::vector<std::string> Diagnostics::lines() const {
  auto sorted = found_;
  std::stable_sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<std::string> lines;
  for (const auto& [mark, message] : sorted) {
    if (source_.empty() && lines.size() == kShown) {
      lines.push_back(fmt::format("and {} more errors", sorted.size() - kShown));
      break;
    }
    lines.push_back(fmt::format("{}: {}", where(mark), message));
  }
  return lines;
}

std::string in_quotes(std::string_view value) {
  constexpr std::size_t kLongest = 60;
  std::string out = "'";
  for (const char c : value.substr(0, kLongest)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) {
      out += fmt::format("\\x{:02x}", byte);
    } else {
      out += c;
    }
  }
  if (value.size() > kLongest) {
    // A character of more than one byte is not cut in its middle.
    while (!out.empty() && (static_cast<unsigned char>(out.back()) & 0x80U) != 0) {
      const bool lead = (static_cast<unsigned char>(out.back()) & 0x40U) != 0;
      out.pop_back();
      if (lead) break;
    }
    out += "…";
  }
  return out + "'";
}

}  // namespace sluice::control
