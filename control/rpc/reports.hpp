// Reports as JSON. Names are snake_case and stable: README.md documents them, and tests hold them in place.
#pragma once

#include <cstddef>
#include <vector>

#include "control/rpc/protocol.hpp"
#include "control/switch.hpp"

namespace sluice::control {

[[nodiscard]] Json to_json(const StatusReport& report);
[[nodiscard]] Json to_json(const std::vector<PortReport>& ports);
/// `total`: how many flows there are, whatever is listed.
[[nodiscard]] Json to_json(const std::vector<FlowReport>& flows, std::size_t total);
[[nodiscard]] Json to_json(const std::vector<FdbReport>& entries);
[[nodiscard]] Json to_json(const std::vector<PmdReport>& pmds);
[[nodiscard]] Json to_json(const std::vector<DropReport>& drops);
[[nodiscard]] Json to_json(const std::vector<RuleReport>& rules);
[[nodiscard]] Json to_json(const MemoryReport& report);

}  // namespace sluice::control
