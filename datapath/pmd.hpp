// Pmd: what a PMD thread does, loop by loop. It owns its flow table, its counters and the packets that wait in it.
//
// Thread safety: run_once() is for the PMD's thread. publish_*() is for the one publisher of each view. The rings
// have the slow path at their other end. Counters may be read by anybody.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "datapath/grace.hpp"
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
  ports::Counter hits;         ///< packets whose flow was there
  ports::Counter misses;       ///< packets that made a pending entry
  ports::Counter queued;       ///< packets that joined one
  ports::Counter upcalls;
};

struct PmdOptions {
  std::size_t flow_limit = 1'000'000;
  flowtable::HashSecret secret{};
  rte_mempool* pool = nullptr;         ///< for packets that outlive their burst
  /// The most flows of one port that may wait for a decision at a time.
  std::uint32_t pending_flows_per_port = 512;
  /// The most packets that may wait in one flow.
  std::uint32_t pending_packets_per_flow = 64;
  std::size_t ring_size = 16384;       ///< upcalls and commands
};

class Pmd {
 public:
  explicit Pmd(const PmdOptions& options);
  ~Pmd();
  Pmd(const Pmd&) = delete;
  Pmd& operator=(const Pmd&) = delete;

  /// One loop: commands, then each queue once. `now_ns` is the clock for counters and idle times: monotonic, any
  /// epoch. Returns whether anything was done.
  bool run_once(std::uint64_t now_ns);

  /// Publishes a view and returns the one before, to be freed when loop() has passed.
  [[nodiscard]] std::unique_ptr<const PortView> publish_ports(std::unique_ptr<const PortView> view);
  [[nodiscard]] const MaskView* publish_masks(const MaskView* view);

  [[nodiscard]] const LoopCounter& loop() const;
  [[nodiscard]] UpcallRing& upcalls();    ///< the slow path pops
  [[nodiscard]] CommandRing& commands();  ///< the slow path pushes
  [[nodiscard]] const flowtable::FlowTable& table() const;
  [[nodiscard]] const PmdCounters& counters() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace sluice::datapath
