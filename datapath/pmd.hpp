// Pmd: what a PMD thread does, loop by loop. It owns its flow table, its counters and the packets that wait in it.
//
// Thread safety: run_once() is for the PMD's thread. publish_*() is for the one publisher of each view. The rings
// have the slow path at their other end. Counters may be read by anybody.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include <tl/expected.hpp>

#include "datapath/doorbell.hpp"
#include "datapath/grace.hpp"
#include "datapath/pending.hpp"
#include "datapath/upcall.hpp"
#include "datapath/view.hpp"
#include "flowtable/flow_table.hpp"

struct rte_mempool;

namespace sluice::datapath {

/// Of one polled queue.
struct QueueCounters {
  ports::Counter packets;
  ports::Counter batches;      ///< receives that returned something
  ports::Counter busy_cycles;  ///< TSC, of loops in which the queue had packets
};

struct PmdCounters {
  ports::Counter busy_cycles;  ///< TSC, of iterations that moved a packet or carried out a command
  ports::Counter idle_cycles;
  ports::Counter packets;
  ports::Counter batches;
  ports::Counter hits;    ///< packets whose flow was there
  ports::Counter misses;  ///< packets that made a pending entry
  ports::Counter queued;  ///< packets that joined one
  ports::Counter upcalls;
};

struct PmdOptions {
  std::size_t flow_limit = 1'000'000;
  flowtable::HashSecret secret{};
  rte_mempool* pool = nullptr;  ///< for packets that wait for a decision
  PendingLimits pending;
  std::size_t ring_size = 16384;  ///< upcalls and commands, each; at least pending.flows
  LoopCounter* loop =
      nullptr;  ///< where it counts its loops for others to see that it lives, or null; outlives the PMD
  Doorbell* doorbell = nullptr;  ///< rung when there are upcalls, if the slow path may sleep; outlives the PMD
};

class Pmd {
 public:
  /// Fails only for want of memory; the error is errno.
  [[nodiscard]] static tl::expected<std::unique_ptr<Pmd>, int> create(const PmdOptions& options);
  ~Pmd();
  Pmd(const Pmd&) = delete;
  Pmd& operator=(const Pmd&) = delete;

  /// One loop: commands, then each queue once. `now_ns` is the clock for counters and idle times: monotonic, any
  /// epoch. Returns whether anything was done.
  bool run_once(std::uint64_t now_ns);

  /// Before the first loop, for whoever makes the PMD ready: a flow that is there when its first packet comes.
  /// `decision` outlives the entry. Null if there is one of this key, or no room for it.
  [[nodiscard]] const flowtable::FlowEntry* adopt(const flowtable::FlowKey& masked_key,
                                                  const flowtable::Decision& decision);
  /// Before the first loop too: all flows are gone.
  void forget_flows();

  /// Publishes a view and returns the one before, to be freed when loop() has passed.
  [[nodiscard]] std::unique_ptr<const PortView> publish_ports(std::unique_ptr<const PortView> view);
  [[nodiscard]] const MaskView* publish_masks(const MaskView* view);

  /// Any thread: whether packets of `port` wait here for the slow path's decision. A no is certain when the PMD polls
  /// no queue of the port any more and has finished a loop before the question.
  [[nodiscard]] bool has_waiting(flowtable::PortId port) const;

  [[nodiscard]] const LoopCounter& loop() const;
  [[nodiscard]] UpcallRing& upcalls();    ///< the slow path pops
  [[nodiscard]] CommandRing& commands();  ///< the slow path pushes
  [[nodiscard]] const flowtable::FlowTable& table() const;
  [[nodiscard]] const PmdCounters& counters() const;
  [[nodiscard]] rte_mempool* pool() const;  ///< what frames to be injected are made in

 private:
  struct State;
  explicit Pmd(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace sluice::datapath
