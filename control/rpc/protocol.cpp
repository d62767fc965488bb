// JSON-RPC 2.0 as text. See protocol.hpp.
#include "control/rpc/protocol.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

namespace sluice::control {
namespace {

/// How deep brackets go, found without recursion and before anything is built. Of malformed text it may be any number.
std::size_t depth_of(std::string_view text) {
  std::size_t depth = 0;
  std::size_t deepest = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') {
        ++i;
      } else if (c == '"') {
        in_string = false;
      }
    } else if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      deepest = std::max(deepest, ++depth);
    } else if ((c == ']' || c == '}') && depth > 0) {
      --depth;
    }
  }
  return deepest;
}

tl::unexpected<RpcError> parse_error(std::string message) {
  return tl::make_unexpected(RpcError{RpcCode::parse_error, std::move(message)});
}

}  // namespace

tl::expected<Json, RpcError> parse_message(std::string_view line) {
  if (line.size() > kMaxMessageBytes) {
    return parse_error(fmt::format("a message is {} bytes long, at most {} are read", line.size(), kMaxMessageBytes));
  }
  if (depth_of(line) > kMaxDepth) {
    return parse_error(fmt::format("arrays and objects nest deeper than {}", kMaxDepth));
  }
  try {
    return Json::parse(line);
  } catch (const Json::parse_error& error) {
    return parse_error(fmt::format("no JSON: byte {} is wrong here", error.byte));
  } catch (const Json::exception&) {
    return parse_error("no JSON: a number is out of range");
  }
}

Json result_response(const Json& id, Json result) {
  return {{"jsonrpc", "2.0"}, {"id", id}, {"result", std::move(result)}};
}

Json error_response(const Json& id, const RpcError& error) {
  return {
      {"jsonrpc", "2.0"}, {"id", id}, {"error", {{"code", static_cast<int>(error.code)}, {"message", error.message}}}};
}

std::string to_line(const Json& message) { return message.dump(-1, ' ', false, Json::error_handler_t::replace); }

}  // namespace sluice::control
