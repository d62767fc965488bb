#include "control/slowpath/port_table.hpp"

#include <algorithm>

namespace sluice::control {

void PortTable::set(flowtable::PortId id, BridgePort port) {
  if (id >= ports_.size()) ports_.resize(std::size_t{id} + 1);
  if (!ports_[id]) ids_.insert(std::lower_bound(ids_.begin(), ids_.end(), id), id);
  ports_[id] = std::move(port);
}

bool PortTable::remove(flowtable::PortId id) {
  if (find(id) == nullptr) return false;
  ports_[id].reset();
  std::erase(ids_, id);
  return true;
}

std::string PortTable::name(flowtable::PortId id) const {
  const auto* port = find(id);
  return port != nullptr ? port->name : "port " + std::to_string(id) + " (gone)";
}

}  // namespace sluice::control
