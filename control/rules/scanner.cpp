// Scanner: a position that moves over the text.
#include "control/rules/scanner.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace sluice::control {
namespace {

constexpr std::string_view kSeparators = ", \t\r\n";
constexpr std::size_t kLongestQuote = 48;

}  // namespace

tl::unexpected<Error> error_at(std::size_t offset, std::string_view message) {
  return tl::unexpected(Error{fmt::format("column {}: {}", offset + 1, message)});
}

std::string quoted(std::string_view text) {
  std::string out = "'";
  for (const char c : text.substr(0, kLongestQuote)) {
    if (c >= ' ' && c <= '~') {
      out += c;
    } else {
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    }
  }
  if (text.size() > kLongestQuote) out += "...";
  return out + "'";
}

bool Scanner::at_end() {
  position_ = std::min(text_.find_first_not_of(kSeparators, position_), text_.size());
  return position_ == text_.size();
}

Token Scanner::rest_after(const Item& item) {
  const std::size_t begin = item.value.offset - offset_;
  position_ = text_.size();
  return {text_.substr(begin), item.value.offset};
}

// Up to one of `stops`, which is not taken; or what is between quotes.
Expected<Token> Scanner::piece(std::string_view stops) {
  const std::size_t begin = position_;
  if (begin < text_.size() && text_[begin] == '"') {
    const std::size_t end = text_.find('"', begin + 1);
    if (end == std::string_view::npos) return error_at(offset_ + begin, "the quote that begins here has no end");
    position_ = end + 1;
    return Token{text_.substr(begin + 1, end - begin - 1), offset_ + begin};
  }
  position_ = std::min(text_.find_first_of(stops, begin), text_.size());
  return Token{text_.substr(begin, position_ - begin), offset_ + begin};
}

Expected<Item> Scanner::item(std::string_view joints) {
  Item item;
  auto name = piece(std::string(joints) + std::string(kSeparators));
  if (!name) return tl::unexpected(name.error());
  item.name = *name;
  const auto at = [&](std::string_view set) {
    return position_ < text_.size() && set.find(text_[position_]) != std::string_view::npos;
  };
  if (at(joints)) {
    item.joint = text_[position_++];
    auto value = piece(item.joint == '(' ? ")" : kSeparators);
    if (!value) return tl::unexpected(value.error());
    item.value = *value;
    if (item.joint == '(') {
      if (!at(")")) return error_at(item.value.offset - 1, "the parenthesis that begins here has no end");
      ++position_;
    }
  }
  if (position_ < text_.size() && !at(kSeparators)) {
    return error_at(offset(), fmt::format("a comma or the end is expected after {}",
                                          quoted(item.joint == 0 ? item.name.text : item.value.text)));
  }
  return item;
}

}  // namespace sluice::control
