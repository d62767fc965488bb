// The configuration's text as workers are given it: read once, so that a worker that follows a crash comes up as the
// one before it did, whatever has become of the file since.
#pragma once

#include <string>
#include <string_view>

#include "control/error.hpp"
#include "ports/unique_fd.hpp"

namespace sluice::control {

/// In memory, behind a descriptor that can be handed on.
[[nodiscard]] Expected<ports::UniqueFd> keep_config_text(std::string_view text);
[[nodiscard]] Expected<std::string> kept_config_text(int fd);

}  // namespace sluice::control
