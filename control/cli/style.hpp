// Style: colour for people, where there are people: on a terminal, and never with NO_COLOR (https://no-color.org).
#pragma once

#include <string>
#include <string_view>

namespace sluice::control {

class Style {
 public:
  /// Of what is written to this descriptor.
  [[nodiscard]] static Style of(int fd);
  explicit Style(bool colour) : colour_(colour) {}

  [[nodiscard]] std::string bold(std::string_view text) const { return wrap("1", text); }
  [[nodiscard]] std::string dim(std::string_view text) const { return wrap("2", text); }
  [[nodiscard]] std::string red(std::string_view text) const { return wrap("31", text); }
  [[nodiscard]] std::string green(std::string_view text) const { return wrap("32", text); }

 private:
  [[nodiscard]] std::string wrap(std::string_view code, std::string_view text) const;
  bool colour_;
};

}  // namespace sluice::control
