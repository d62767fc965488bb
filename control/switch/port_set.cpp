#include "control/switch/port_set.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "ports/frame.hpp"

namespace sluice::control {

using flowtable::PortId;
using ports::PortCounters;

Expected<PortId> PortSet::reserve(const PortConfig& config) const {
  std::set<PortId> taken = leaving_;
  for (const SwitchPort& port : ports_) {
    if (port.config.name == config.name) {
      return tl::unexpected(Error{fmt::format("port '{}': there is a port of this name already", config.name)});
    }
    for (const std::string& claim : config.claims) {
      if (std::find(port.config.claims.begin(), port.config.claims.end(), claim) == port.config.claims.end()) continue;
      return tl::unexpected(Error{fmt::format("port '{}': {} is port '{}''s", config.name, claim, port.config.name)});
    }
    taken.insert(port.id);
  }
  for (PortId id = 0; id < flowtable::kMaxPorts; ++id) {
    if (!taken.contains(id)) return id;
  }
  return tl::unexpected(
      Error{fmt::format("port '{}': a switch has at most {} ports", config.name, flowtable::kMaxPorts)});
}

SwitchPort& PortSet::add(PortId id, const PortConfig& config, std::unique_ptr<ports::Port> port) {
  ports_.push_back(SwitchPort{id, config, std::move(port), false, counted(id)});
  return ports_.back();
}

SwitchPort PortSet::take(const std::string& name) {
  const auto at =
      std::find_if(ports_.begin(), ports_.end(), [&](const SwitchPort& p) { return p.config.name == name; });
  SwitchPort out = std::move(*at);
  ports_.erase(at);
  leaving_.insert(out.id);
  return out;
}

const SwitchPort* PortSet::find(const std::string& name) const {
  for (const SwitchPort& port : ports_) {
    if (port.config.name == name) return &port;
  }
  return nullptr;
}

std::vector<PortQueues> PortSet::queues() const {
  std::vector<PortQueues> out;
  out.reserve(ports_.size());
  for (const SwitchPort& p : ports_) {
    if (!p.in_use) continue;
    out.push_back(PortQueues{p.id, p.config.name, p.port->numa_node(), p.config.mtu + ports::kFrameOverhead,
                             p.port->rx_queues(), p.port->tx_queues()});
  }
  return out;
}

PortTotals PortSet::counted(PortId id) const {
  PortTotals out;
  out.rx_packets = pmds_.sum(id, &PortCounters::rx_packets);
  out.rx_bytes = pmds_.sum(id, &PortCounters::rx_bytes);
  out.tx_packets = pmds_.sum(id, &PortCounters::tx_packets);
  out.tx_bytes = pmds_.sum(id, &PortCounters::tx_bytes);
  for (std::size_t r = 0; r < ports::kDropReasons; ++r) {
    out.drops[r] = pmds_.dropped(id, static_cast<ports::DropReason>(r));
  }
  return out;
}

PortTotals PortSet::totals(const SwitchPort& port) const {
  PortTotals out = counted(port.id);
  out.rx_packets -= port.cleared.rx_packets;
  out.rx_bytes -= port.cleared.rx_bytes;
  out.tx_packets -= port.cleared.tx_packets;
  out.tx_bytes -= port.cleared.tx_bytes;
  for (std::size_t r = 0; r < ports::kDropReasons; ++r) out.drops[r] -= port.cleared.drops[r];
  return out;
}

void PortSet::clear_counters() {
  for (SwitchPort& port : ports_) port.cleared = counted(port.id);
}

}  // namespace sluice::control
