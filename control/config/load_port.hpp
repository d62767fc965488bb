// One port of a configuration.
#pragma once

#include <string>

#include "control/config/config.hpp"
#include "control/config/mapping.hpp"

namespace sluice::control {

/// Reads a port; faults go to `diagnostics`, and what could be read is returned, so that the ports can be compared.
/// `label`: "ports[2]".
[[nodiscard]] PortConfig load_port(const Node& node, std::string label, Diagnostics& diagnostics);

/// Reads a port's `vlan`.
[[nodiscard]] VlanConfig load_vlan(const Node& node, std::string label, Diagnostics& diagnostics);

}  // namespace sluice::control
