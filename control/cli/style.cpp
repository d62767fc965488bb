// Style. See style.hpp.
#include "control/cli/style.hpp"

#include <unistd.h>

#include <cstdlib>

#include <fmt/format.h>

namespace sluice::control {

Style Style::of(int fd) {
  const char* no_color = std::getenv("NO_COLOR");
  const char* terminal = std::getenv("TERM");
  const bool refused =
      (no_color != nullptr && *no_color != '\0') || (terminal != nullptr && std::string_view(terminal) == "dumb");
  return Style(!refused && ::isatty(fd) == 1);
}

std::string Style::wrap(std::string_view code, std::string_view text) const {
  return colour_ && !text.empty() ? fmt::format("\033[{}m{}\033[0m", code, text) : std::string(text);
}

}  // namespace sluice::control
