// PortSet: the ports of a switch, their ids, and what has been counted for each since the counters were cleared.
//
// Control thread. Ids are given away again only after the slow path has forgotten them.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "control/config/config.hpp"
#include "control/error.hpp"
#include "control/switch/pmd_set.hpp"
#include "ports/port.hpp"

namespace sluice::control {

struct PortTotals {
  std::uint64_t rx_packets = 0;
  std::uint64_t rx_bytes = 0;
  std::uint64_t tx_packets = 0;
  std::uint64_t tx_bytes = 0;
  std::array<std::uint64_t, ports::kDropReasons> drops{};
};

struct SwitchPort {
  flowtable::PortId id;
  PortConfig config;
  std::unique_ptr<ports::Port> port;
  bool in_use = false;  ///< the slow path knows it: PMDs may poll it
  PortTotals cleared;   ///< what had been counted when the counters were last cleared, or the port was made
};

class PortSet {
 public:
  explicit PortSet(const PmdSet& pmds) : pmds_(pmds) {}

  /// An error if the name, or anything the port claims, is taken, or there are kMaxPorts ports already.
  [[nodiscard]] Expected<flowtable::PortId> reserve(const PortConfig& config) const;
  SwitchPort& add(flowtable::PortId id, const PortConfig& config, std::unique_ptr<ports::Port> port);
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

  [[nodiscard]] PortTotals totals(const SwitchPort& port) const;
  void clear_counters();

 private:
  [[nodiscard]] PortTotals counted(flowtable::PortId id) const;

  const PmdSet& pmds_;
  std::vector<SwitchPort> ports_;
  std::set<flowtable::PortId> leaving_;
};

}  // namespace sluice::control
