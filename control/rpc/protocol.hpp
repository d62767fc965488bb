// JSON-RPC 2.0 as text: limits, errors, and how a request is read and a response written. Pure; no socket in sight.
//
// Specification: https://www.jsonrpc.org/specification. A message is one line, ended by '\n'.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>
#include <tl/expected.hpp>

namespace sluice::control {

using Json = nlohmann::json;

inline constexpr std::size_t kMaxMessageBytes = 1 << 20;
inline constexpr std::size_t kMaxDepth = 32;  ///< of arrays and objects in each other
inline constexpr std::size_t kMaxBatch = 256;
inline constexpr std::size_t kMaxBatchResponseBytes = 16 << 20;  ///< beyond it the batch's further results are withheld

/// Section 5.1 of the specification; `failed` is ours: what was asked was understood and could not be done.
enum class RpcCode : int {
  parse_error = -32700,
  invalid_request = -32600,
  method_not_found = -32601,
  invalid_params = -32602,
  internal_error = -32603,
  failed = -32000,
};

struct RpcError {
  RpcCode code;
  std::string message;
};

/// One message as JSON. Refused as parse_error: what is no JSON, or too deep, too long; nothing recurses before that is
/// known.
[[nodiscard]] tl::expected<Json, RpcError> parse_message(std::string_view line);

[[nodiscard]] Json result_response(const Json& id, Json result);
[[nodiscard]] Json error_response(const Json& id, const RpcError& error);

/// On one line, without the '\n'. Bytes that are no UTF-8 become U+FFFD.
[[nodiscard]] std::string to_line(const Json& message);

}  // namespace sluice::control
