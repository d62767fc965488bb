// RpcMethod: a row of the method table: a name, the parameters it takes, and what it does.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "control/error.hpp"
#include "control/rpc/protocol.hpp"

namespace sluice::control {

struct RpcParam {
  enum class Type : std::uint8_t { text, count };
  std::string_view name;
  Type type;
  bool required;
  std::string_view meaning;
  std::uint64_t most = 0;  ///< count: 0 to this
};

/// Called exactly once, on the event loop's thread, now or later.
using RpcReply = std::function<void(Expected<Json>)>;

struct RpcMethod {
  std::string_view name;
  std::string_view summary;
  std::vector<RpcParam> params;
  /// `params` is an object that check_params has let through.
  std::function<void(const Json& params, RpcReply reply)> call;
};

/// What is wrong with `params`, in words that name the parameter and what would be right; nothing if all is well.
/// Parameters go by name: unknown ones, missing ones, ones of another type or out of range are refused.
[[nodiscard]] std::optional<std::string> check_params(const RpcMethod& method, const Json& params);

/// The table as `help` answers it.
[[nodiscard]] Json describe(const std::vector<RpcMethod>& methods);

}  // namespace sluice::control
