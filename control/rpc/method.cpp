// RpcMethod: check of parameters, and the table as JSON. See method.hpp.
#include "control/rpc/method.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

namespace sluice::control {
namespace {

constexpr std::size_t kShownBytes = 64;

std::string kind_of(const RpcParam& param) {
  switch (param.type) {
    case RpcParam::Type::text: return "a string";
    case RpcParam::Type::count: return fmt::format("an integer from 0 to {}", param.most);
  }
  return "nothing";
}

bool fits(const RpcParam& param, const Json& value) {
  switch (param.type) {
    case RpcParam::Type::text: return value.is_string();
    // is_number_unsigned: a non-negative integer, not 1.0.
    case RpcParam::Type::count: return value.is_number_unsigned() && value.get<std::uint64_t>() <= param.most;
  }
  return false;
}

/// A value for an error message: on one line and not longer than people read.
std::string shown(const Json& value) {
  std::string text = to_line(value);
  if (text.size() > kShownBytes) text = text.substr(0, kShownBytes) + "...";
  return text;
}

std::string takes(const RpcMethod& method) {
  if (method.params.empty()) return fmt::format("'{}' takes no parameters", method.name);
  std::vector<std::string> names;
  for (const RpcParam& param : method.params) names.push_back(fmt::format("'{}'", param.name));
  return fmt::format("'{}' takes {}", method.name, fmt::join(names, ", "));
}

}  // namespace

std::optional<std::string> check_params(const RpcMethod& method, const Json& params) {
  if (!params.is_object()) {
    return fmt::format("params: {} is no object: parameters are given by name; {}", shown(params), takes(method));
  }
  for (const auto& [name, value] : params.items()) {
    const auto known = std::find_if(method.params.begin(), method.params.end(),
                                    [&name = name](const RpcParam& param) { return param.name == name; });
    if (known == method.params.end()) {
      return fmt::format("params: {} is unknown: {}", shown(Json(name)), takes(method));
    }
    if (!fits(*known, value)) {
      return fmt::format("params: '{}' is {}: it is to be {}", name, shown(value), kind_of(*known));
    }
  }
  for (const RpcParam& param : method.params) {
    if (param.required && !params.contains(std::string(param.name))) {
      return fmt::format("params: '{}' is missing: {}, {}", param.name, kind_of(param), param.meaning);
    }
  }
  return std::nullopt;
}

Json describe(const std::vector<RpcMethod>& methods) {
  Json rows = Json::array();
  for (const RpcMethod& method : methods) {
    Json params = Json::array();
    for (const RpcParam& param : method.params) {
      params.push_back(
          {{"name", param.name}, {"type", kind_of(param)}, {"required", param.required}, {"meaning", param.meaning}});
    }
    rows.push_back({{"name", method.name}, {"summary", method.summary}, {"params", std::move(params)}});
  }
  return rows;
}

}  // namespace sluice::control
