// bridge: what `normal` means. One VLAN-aware learning bridge (IEEE 802.1Q, clause 8).
#pragma once

#include <optional>

#include "control/slowpath/headers.hpp"
#include "control/slowpath/outcome.hpp"
#include "control/slowpath/port_table.hpp"
#include "ports/drop_reason.hpp"

namespace sluice::control {

/// What the bridge decides by.
struct BridgeState {
  const PortTable* ports;
  const Fdb* fdb;
  bool flood_unknown;  ///< unknown unicast goes to all; broadcast and multicast always do
};

/// Appends to `outcome` the outputs for a packet with these headers from `in_port`, each with the tags its port wants:
/// outputs that need no change first, then as few changes as can be, ports ascending within each. `undo`: put the tags
/// back afterwards, because more actions follow.
/// Nothing if there was an output; else the reason why there was none.
std::optional<ports::DropReason> bridge(const BridgeState& state, flowtable::PortId in_port, const Headers& headers,
                                        bool undo, Outcome& outcome, Trace* trace);

}  // namespace sluice::control
