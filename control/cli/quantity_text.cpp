// Quantities as people read them. See quantity_text.hpp.
#include "control/cli/quantity_text.hpp"

#include <array>
#include <cstddef>

#include <fmt/format.h>

namespace sluice::control {

std::string with_thousands(std::uint64_t n) {
  std::string text = std::to_string(n);
  for (std::size_t at = text.size(); at > 3; at -= 3) text.insert(at - 3, 1, ',');
  return text;
}

std::string with_unit(std::uint64_t bytes) {
  static constexpr std::array<const char*, 6> units{"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  if (bytes < 1024) return fmt::format("{} B", bytes);
  double value = static_cast<double>(bytes) / 1024;
  std::size_t unit = 0;
  // 1023.95 would be shown as 1024.0.
  while (value >= 1023.95 && unit + 1 < units.size()) {
    value /= 1024;
    ++unit;
  }
  return fmt::format("{:.1f} {}", value, units[unit]);
}

std::string percent(double share) { return fmt::format("{:.1f}%", share * 100); }

std::string duration_text(double seconds) {
  const auto s = static_cast<std::uint64_t>(seconds < 0 ? 0 : seconds);
  if (s < 60) return fmt::format("{}s", s);
  if (s < 3600) return fmt::format("{}m{:02}s", s / 60, s % 60);
  if (s < 86400) return fmt::format("{}h{:02}m", s / 3600, s / 60 % 60);
  return fmt::format("{}d{:02}h", s / 86400, s / 3600 % 24);
}

std::string printable(std::string_view text) {
  std::string out(text);
  for (std::size_t i = 0; i < out.size(); ++i) {
    const auto c = static_cast<unsigned char>(out[i]);
    // 0xc2 0x80 to 0x9f: the C1 controls in UTF-8, CSI among them.
    const bool c1 = c >= 0x80 && c <= 0x9f && i > 0 && static_cast<unsigned char>(text[i - 1]) == 0xc2;
    if (c < 0x20 || c == 0x7f) out[i] = '?';
    if (c1) out[i - 1] = out[i] = '?';
  }
  return out;
}

}  // namespace sluice::control
