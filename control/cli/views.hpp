// Views: what RPC answers, as text for people. Pure functions of the JSON that control/rpc/reports.cpp writes.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "control/cli/style.hpp"
#include "control/error.hpp"
#include "control/rpc/protocol.hpp"

namespace sluice::control {

/// A view is `sluice show NAME`, and asks the RPC method of the same name.
struct View {
  std::string_view name;
  std::string_view summary;
  std::string_view notes;  ///< for its --help: what the columns mean
  std::string (*text)(const Json& result, const Style& style);
};

[[nodiscard]] const std::vector<View>& views();

/// An error if `result` is not of the form that this program knows (a switch of another version).
[[nodiscard]] Expected<std::string> render(const View& view, const Json& result, const Style& style);

}  // namespace sluice::control
