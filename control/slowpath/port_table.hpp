// PortTable: the ports as the bridge sees them, a name and a VLAN setting each. Slow-path thread.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "control/config/config.hpp"
#include "flowtable/flow_key.hpp"

namespace sluice::control {

struct BridgePort {
  std::string name;
  VlanConfig vlan;

  bool operator==(const BridgePort&) const = default;
};

class PortTable {
 public:
  /// Adds a port or changes one. `id` is below kMaxPorts.
  void set(flowtable::PortId id, BridgePort port);
  /// False if there is none with this id.
  bool remove(flowtable::PortId id);

  [[nodiscard]] const BridgePort* find(flowtable::PortId id) const {
    return id < ports_.size() && ports_[id] ? &*ports_[id] : nullptr;
  }
  /// Those that are there, ascending.
  [[nodiscard]] std::span<const flowtable::PortId> ids() const { return ids_; }
  /// For people; also for ports that are gone.
  [[nodiscard]] std::string name(flowtable::PortId id) const;

 private:
  std::vector<std::optional<BridgePort>> ports_;  ///< by PortId
  std::vector<flowtable::PortId> ids_;
};

}  // namespace sluice::control
