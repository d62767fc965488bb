// Error: what is said to people when something is refused. It names the object, the value, and what would be right.
#pragma once

#include <string>

#include <tl/expected.hpp>

namespace sluice::control {

struct Error {
  std::string message;
};

template <typename T>
using Expected = tl::expected<T, Error>;

}  // namespace sluice::control
