#include "control/switch/port_set.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "ports/frame.hpp"

namespace sluice::control {

using flowtable::PortId;

Expected<void> PortSet::check(const PortConfig& config) const {
  for (const std::string& claim : config.claims) {
    const auto found = reserved_.find(claim);
    if (found == reserved_.end()) continue;
    return tl::unexpected(
        Error{fmt::format("port '{}': {} is {}; right is another", config.name, claim, found->second)});
  }
  for (const SwitchPort& port : ports_) {
    if (port.config.name == config.name) {
      return tl::unexpected(Error{fmt::format("port '{}': there is a port of this name already", config.name)});
    }
    for (const std::string& claim : config.claims) {
      if (std::find(port.config.claims.begin(), port.config.claims.end(), claim) == port.config.claims.end()) continue;
      return tl::unexpected(Error{fmt::format("port '{}': {} is port '{}''s", config.name, claim, port.config.name)});
    }
  }
  return {};
}

SwitchPort& PortSet::add(PortId id, const PortConfig& config, int numa_node) {
  ports_.push_back(SwitchPort{.id = id, .config = config, .port = nullptr, .numa_node = numa_node});
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
    PortQueues queues{.id = p.id, .name = p.config.name, .max_frame = p.config.mtu + ports::kFrameOverhead};
    if (!p.config.vhost_user) {
      queues.rx_places = p.config.queues;
      queues.numa_node = p.numa_node;
    }
    if (p.in_use) {
      queues.numa_node = p.port->numa_node();
      queues.rx = p.port->rx_queues();
      queues.tx = p.port->tx_queues();
    }
    if (p.in_use || queues.rx_places != 0) out.push_back(std::move(queues));
  }
  return out;
}

std::vector<PortId> PortSet::ids() const {
  std::vector<PortId> out;
  out.reserve(ports_.size());
  for (const SwitchPort& port : ports_) out.push_back(port.id);
  return out;
}

}  // namespace sluice::control
