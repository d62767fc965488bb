// The method table: all that can be asked of a running switch, a row each. README.md shows an example of every one.
#pragma once

#include <vector>

#include "control/rpc/method.hpp"
#include "control/rpc/operations.hpp"

namespace sluice::control {

[[nodiscard]] std::vector<RpcMethod> switch_methods(const Operations& operations);

}  // namespace sluice::control
