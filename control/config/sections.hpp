// The sections of a configuration that are not ports or rules. Each function reads one key of the file into its
// struct; what is not given keeps its default.
#pragma once

#include <string>
#include <vector>

#include "control/config/config.hpp"
#include "control/config/mapping.hpp"

namespace sluice::control {

void load_memory(Mapping& root, MemoryConfig& memory);
void load_bridge(Mapping& root, BridgeConfig& bridge);
void load_flows(Mapping& root, FlowConfig& flows);
void load_recovery(Mapping& root, RecoveryConfig& recovery);
void load_control(Mapping& root, std::string& socket);
/// After the ports, since queues are pinned by their port's name.
void load_pmd(Mapping& root, const std::vector<PortConfig>& ports, PmdConfig& pmd);

}  // namespace sluice::control
