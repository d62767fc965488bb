// Eventfds that front ends hand to us.
#pragma once

#include <string>

#include <tl/expected.hpp>

namespace sluice::ports::vhost {

/// Checks that `fd`, which stays the caller's, is an eventfd, and makes it non-blocking: writing to anything else could
/// hold up a PMD.
[[nodiscard]] tl::expected<void, std::string> take_eventfd(int fd);

}  // namespace sluice::ports::vhost
