// PortSet: the ports of a switch and their ids. Control thread.
//
// A port's id is its slot in what outlives a worker (keeper/port_slots.hpp): the same for the worker that comes after.
// It is given away again only after the slow path has forgotten it.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "control/config/config.hpp"
#include "control/error.hpp"
#include "control/switch/pmd_set.hpp"
#include "ports/port.hpp"

namespace sluice::control {

struct SwitchPort {
  flowtable::PortId id;
  PortConfig config;
  std::unique_ptr<ports::Port> port;
  bool in_use = false;  ///< the slow path knows it: PMDs may poll it
  int numa_node = -1;   ///< of a device, when it was open last; -1: not known
};

class PortSet {
 public:
  /// No port can have what the switch itself claims, in the words of PortConfig::claims; `what` it is.
  void reserve(const std::string& claim, const std::string& what) { reserved_[claim] = what; }
  /// An error if the name, or anything the port claims, is taken.
  [[nodiscard]] Expected<void> check(const PortConfig& config) const;
  SwitchPort& add(flowtable::PortId id, const PortConfig& config, int numa_node = -1);
  /// Takes a port out; its id stays taken until release_id().
  [[nodiscard]] SwitchPort take(const std::string& name);
  void release_id(flowtable::PortId id) { leaving_.erase(id); }
  [[nodiscard]] const std::set<flowtable::PortId>& leaving() const { return leaving_; }

  [[nodiscard]] const SwitchPort* find(const std::string& name) const;
  /// In the order they were added.
  [[nodiscard]] const std::vector<SwitchPort>& all() const { return ports_; }
  [[nodiscard]] std::vector<SwitchPort>& all() { return ports_; }
  /// What the PMDs are to know of all of them.
  [[nodiscard]] std::vector<PortQueues> queues() const;
  [[nodiscard]] std::vector<flowtable::PortId> ids() const;

 private:
  std::vector<SwitchPort> ports_;
  std::map<std::string, std::string> reserved_;
  std::set<flowtable::PortId> leaving_;
};

}  // namespace sluice::control
