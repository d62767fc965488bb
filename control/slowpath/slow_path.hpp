// SlowPath: decides the packets that miss, and keeps every flow true to rules, ports and FDB as they are now.
//
// One thread calls all of this: SlowPathThread's, or that of a replay. It never waits, never transmits, and never
// touches a flow table's structure: it answers upcalls with commands, and exchanges what decisions point to.
//
// Nothing in it depends on any clock but the one it is given, nor on addresses or hash order: the same calls give the
// same commands.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "control/config/config.hpp"
#include "control/rules/port_names.hpp"
#include "control/slowpath/departures.hpp"
#include "control/slowpath/fdb.hpp"
#include "control/slowpath/flow_list.hpp"
#include "control/slowpath/flow_set.hpp"
#include "control/slowpath/flow_walk.hpp"
#include "control/slowpath/mask_book.hpp"
#include "control/slowpath/pipeline.hpp"
#include "control/slowpath/recheck.hpp"
#include "control/slowpath/sweep.hpp"
#include "control/slowpath/table_memory.hpp"
#include "control/slowpath/upcall_queues.hpp"

namespace sluice::control {

struct SlowPathOptions {
  BridgeConfig bridge;
  FlowConfig flows;                 ///< `limit`: the tables should hold Sweep::capacity_for(limit)
  std::uint64_t hash_secret = 0;    ///< fresh at each start; a replay may have it fixed
  FdbMemory* fdb_memory = nullptr;  ///< where the FDB is written down for who comes after; null: nobody does
  FdbClock fdb_clock{};             ///< of that memory, and the PMDs'
};

/// A flow, as people see it.
struct FlowSnapshot {
  std::size_t pmd;  ///< its place in the list that SlowPath was given
  flowtable::FlowKey key;
  flowtable::FlowKey mask;
  std::uint64_t packets;
  std::uint64_t bytes;
  std::optional<std::uint64_t> used_ns;  ///< the PMD's clock at the last packet
  flowtable::ActionList actions;
};

struct RuleSnapshot {
  std::string text;
  std::uint64_t packets;
  std::uint64_t bytes;
};

/// How far the flows are written down.
struct FlowListing {
  FlowListWriter list;
  std::optional<FlowPass> pass{};
};

class SlowPath {
 public:
  /// The PMDs outlive the slow path or have stopped for good before it ends. Publishes (empty) masks to them at once.
  SlowPath(const SlowPathOptions& options, std::vector<PmdLink> pmds);
  ~SlowPath();
  SlowPath(const SlowPath&) = delete;
  SlowPath& operator=(const SlowPath&) = delete;

  /// Takes up what the slow path of a worker before us has learnt, for ports that are there and VLANs that they carry.
  /// After set_port() of all ports, once, when that worker writes no more.
  void take_up_fdb(std::uint64_t now_ns);
  void forget_unwanted_of_fdb() { fdb_.forget_unwanted(); }

  /// Writes some more of the flows down for the slow path of a worker that is to take over, as idle as they are at
  /// `now_ns`; false if those were the last.
  [[nodiscard]] bool list_flows(FlowListing& listing, std::uint64_t now_ns) const;
  /// Flows that the worker before us has are in the tables before their packets come, decided by what is in force here
  /// and by what that worker has learnt so far; but not those that take a packet to decide. Before the PMDs' first
  /// loop, once, after set_port() of all ports and before take_up_fdb(). How many.
  std::size_t adopt_flows(FlowListReader& list, std::uint64_t now_ns);
  /// What that worker has learnt since they were adopted, for as many flows as a round settles. When it writes no more,
  /// before the PMDs' first loop; in microseconds, where few addresses have moved.
  void correct_adopted_flows(std::uint64_t now_ns);

  /// A round of bounded work. `now_ns` is the PMDs' clock and never goes back. False if there was nothing to do.
  bool run_once(std::uint64_t now_ns);
  /// When time alone will give run_once() something to do; nothing if never.
  [[nodiscard]] std::optional<std::uint64_t> next_deadline() const;

  // What follows takes effect in the rounds after it; until then flows are as they were.

  /// Adds a port, or changes its name or VLAN setting; the latter forgets its addresses. To be called before a PMD
  /// polls the port.
  void set_port(flowtable::PortId id, const std::string& name, const VlanConfig& vlan);
  /// To be called when no PMD polls the port any more.
  void remove_port(flowtable::PortId id);
  /// Whether nothing can name a removed port any more, no flow, no decision, no packet that waits: its id may be given
  /// away again.
  [[nodiscard]] bool forgotten(flowtable::PortId id) const;
  [[nodiscard]] const PortNames& port_names() const { return names_; }

  void add_rule(Rule rule);
  /// False if there is none of exactly this priority and match.
  bool delete_rule(const Rule& rule);
  /// How many there were.
  std::size_t delete_all_rules();
  /// Calls `then` in the round from which on all rules that were asked for so far are in force: each packet that a PMD
  /// receives from then on is decided by them.
  void when_rules_are_in_force(std::function<void()> then) { in_force_.push_back(std::move(then)); }

  std::size_t flush_fdb();
  std::size_t flush_fdb(flowtable::PortId port);
  /// Learns an address at once; without `vlan`, in the VLAN of the port's untagged frames. False if the port is not
  /// there or does not carry the VLAN, or the address is a group's.
  bool announce(const flowtable::MacAddress& mac, flowtable::PortId port, std::optional<std::uint16_t> vlan = {});

  /// A guest that has arrived does not say so itself: learns its address at once, in each VLAN of announced_vlans(),
  /// and has the port receive a RARP frame of the guest in each, so that other switches learn it too. In how many.
  std::size_t spread(const flowtable::MacAddress& mac, flowtable::PortId port);

  [[nodiscard]] std::vector<Fdb::Entry> fdb() const { return fdb_.entries(); }
  [[nodiscard]] std::size_t fdb_size() const { return fdb_.size(); }
  /// In the order in which they are considered; counts are as of now, flows that are gone included.
  [[nodiscard]] std::vector<RuleSnapshot> rules() const;
  [[nodiscard]] std::size_t rule_count() const { return rules_.table().size(); }
  [[nodiscard]] std::vector<FlowSnapshot> flows(std::size_t limit) const;
  [[nodiscard]] std::size_t flow_count() const { return flows_.records().count(); }
  /// See Sweep::allowed().
  [[nodiscard]] std::size_t flows_allowed(std::size_t pmd) const { return sweep_.allowed(pmd); }
  [[nodiscard]] std::size_t decision_count() const { return flows_.decisions(); }
  [[nodiscard]] std::size_t upcalls_waiting() const;
  /// What would happen to a packet and why, a line a step; changes nothing.
  [[nodiscard]] std::vector<std::string> trace(const flowtable::FlowKey& packet) const;
  [[nodiscard]] const Pipeline& pipeline() const { return pipeline_; }

 private:
  [[nodiscard]] bool adopt(const ListedFlow& flow, const flowtable::FlowKey& mask_before, std::uint64_t now_ns);
  /// Of an address that a worker before us has learnt.
  [[nodiscard]] bool wants(FdbKey key, flowtable::PortId port) const;
  bool publish_masks();
  bool age_fdb(std::uint64_t now_ns);
  bool take_upcalls();
  bool answer_upcalls(std::uint64_t now_ns);
  void note_clean();
  void tell_in_force();
  void touch_masks(const flowtable::FlowKey& rule_value, const flowtable::FlowKey& rule_mask);

  const SlowPathOptions options_;
  const std::vector<PmdLink> pmds_;
  std::uint64_t now_ns_ = 0;  ///< of the last round
  bool started_ = false;      ///< there was a round

  PortTable ports_;
  PortNames names_;
  RuleBook rules_;
  Fdb fdb_;
  Pipeline pipeline_;

  FlowSet flows_;
  MaskBook masks_;
  std::unique_ptr<const datapath::MaskView> published_;
  Recheck recheck_;
  Sweep sweep_;
  TableMemory memory_;
  UpcallQueues upcalls_;
  Departures departures_;
  std::vector<std::function<void()>> in_force_;
  bool old_generations_ = false;  ///< there may be flows or upcalls of masks that are no more
};

}  // namespace sluice::control
