// Diagnostics: everything that is wrong with a configuration, each at its line and column, in the file's order.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sluice::control {

/// A place in a text, both from 1.
struct Mark {
  unsigned line = 1;
  unsigned column = 1;

  auto operator<=>(const Mark&) const = default;
};

class Diagnostics {
 public:
  /// Of one line that somebody typed, more than these are counted and not shown. Of a file, all are.
  static constexpr std::size_t kShown = 50;

  /// `source`: the file's name, put before each line. Empty: the text is one line somebody typed; only the column
  /// is told.
  explicit Diagnostics(std::string source) : source_(std::move(source)) {}

  void add(Mark mark, std::string message);
  [[nodiscard]] bool empty() const { return found_.empty(); }
  /// "switch.yaml:12:5", or "column 5".
  [[nodiscard]] std::string where(Mark mark) const;
  [[nodiscard]] const std::string& source() const { return source_; }
  /// All of them, "where: message", sorted by place.
  [[nodiscard]] std::vector<std::string> lines() const;

 private:
  std::string source_;
  std::vector<std::pair<Mark, std::string>> found_;
};

/// A value as it is shown in a message: in quotes, control characters escaped, cut if long.
[[nodiscard]] std::string in_quotes(std::string_view value);

}  // namespace sluice::control
