// Scanner: takes a rule's text apart and knows the column of everything. Separators are commas and blanks, any number
// of them, as ovs-ofctl has it.
#pragma once

#include <string>
#include <string_view>

#include "control/error.hpp"

namespace sluice::control {

/// A piece of the text and where it begins.
struct Token {
  std::string_view text;
  std::size_t offset = 0;  ///< in the whole text, from 0
};

/// name, name=value, name:value, name(value) or "name"
struct Item {
  Token name;
  Token value;
  char joint = 0;  ///< what stood between name and value: '=', ':', '(', or 0 for no value
};

/// "column 7: …"; people count from 1.
[[nodiscard]] tl::unexpected<Error> error_at(std::size_t offset, std::string_view message);
/// In quotes, cut to a readable length, and with everything that is not printable ASCII as \xNN.
[[nodiscard]] std::string quoted(std::string_view text);

class Scanner {
 public:
  /// `offset`: of `text` in the whole text.
  explicit Scanner(std::string_view text, std::size_t offset = 0) : text_(text), offset_(offset) {}

  /// Skips separators; true if nothing is left then.
  [[nodiscard]] bool at_end();
  /// The next item of a match: the joint is '='.
  [[nodiscard]] Expected<Item> match_item() { return item("="); }
  /// The next action: the joint is ':' or '('.
  [[nodiscard]] Expected<Item> action_item() { return item(":("); }
  /// Everything after the last item's joint; the scanner is then at its end.
  [[nodiscard]] Token rest_after(const Item& item);
  [[nodiscard]] std::size_t offset() const { return offset_ + position_; }

 private:
  Expected<Item> item(std::string_view joints);
  Expected<Token> piece(std::string_view stops);

  std::string_view text_;
  std::size_t offset_;
  std::size_t position_ = 0;
};

}  // namespace sluice::control
