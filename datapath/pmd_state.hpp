// Pmd::State: what a PMD works with, all of it its own but the rings, the views and the counters (pmd.hpp says who else
// touches those). For pmd.cpp and pmd_commands.cpp only.
#pragma once

#include <rte_cycles.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include "datapath/egress.hpp"
#include "datapath/pmd.hpp"
#include "ports/queue.hpp"

struct rte_mbuf;

namespace sluice::datapath {

/// The frames of a burst that can be switched, and what is known of each, in step.
struct Classified {
  unsigned count = 0;
  std::array<ports::Frame*, ports::kBurstSize> frames;
  std::array<flowtable::FlowKey, ports::kBurstSize> keys;  ///< as parsed
  std::array<const flowtable::ClassMask*, ports::kBurstSize> masks;
  std::array<flowtable::FlowKey, ports::kBurstSize> masked;  ///< as looked up
  std::array<std::uint64_t, ports::kBurstSize> hashes;
  std::array<flowtable::FlowEntry*, ports::kBurstSize> entries;
};

struct Pmd::State {
  State(const PmdOptions& options, flowtable::FlowTable flow_table)
      : pool(options.pool),
        doorbell(options.doorbell),
        loop(options.loop != nullptr ? *options.loop : own_loop),
        table(std::move(flow_table)),
        upcalls(std::max<std::size_t>(options.ring_size, options.pending.flows)),
        commands(std::max<std::size_t>(options.ring_size, options.pending.flows)),
        pending(options.pending) {
    loop.reset();
  }
  ~State() {
    free_injected();
    delete ports.load(std::memory_order_relaxed);
  }
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  bool run_once(std::uint64_t now);

  // The way of a packet, in order (pmd.cpp).
  bool poll(const PolledQueue& polled);
  void switch_frames(std::span<ports::Frame> frames, flowtable::PortId in_port, std::uint64_t first_arrival);
  void parse_all(std::span<ports::Frame> frames, flowtable::PortId in_port);
  void look_up();
  void hand_off_misses(std::uint64_t first_arrival);
  void execute_hits(flowtable::PortId in_port);

  // What becomes of the packets that missed (pmd_commands.cpp).
  bool carry_out_commands();
  void install(flowtable::FlowEntry& entry, const flowtable::Decision& decision);
  void reclassify(flowtable::FlowEntry& entry);
  void look_up_again(PendingFlows::Queue queue);
  void remove(flowtable::FlowEntry& entry);
  void inject(rte_mbuf* mbuf, flowtable::PortId in_port);
  void free_injected();

  void add_pending(unsigned i, std::uint64_t arrival);
  void free_burst();
  bool take_waiting(PendingFlows::Queue queue);
  void add_to_burst(rte_mbuf* mbuf, flowtable::PortId in_port);
  [[nodiscard]] ports::PortCounters& counters_of(flowtable::PortId port) const { return *view->counters[port]; }

  rte_mempool* const pool;
  Doorbell* const doorbell;
  LoopCounter own_loop;
  LoopCounter& loop;
  flowtable::FlowTable table;
  UpcallRing upcalls;
  CommandRing commands;
  PendingFlows pending;
  PmdCounters counters;
  std::atomic<const PortView*> ports{nullptr};
  std::atomic<const MaskView*> masks{nullptr};

  // As of this loop.
  const PortView* view = nullptr;
  const MaskView* mask_view = nullptr;
  bool upcalled = false;          ///< there are upcalls for which nobody has rung
  std::size_t sharing_ports = 0;  ///< what is bounded is shared between so many
  std::uint64_t now_ns = 0;
  bool worked = false;                        ///< the loop before this one
  std::uint64_t counted_until = rte_rdtsc();  ///< what came before is in a counter of cycles

  std::uint64_t arrivals = 0;  ///< frames that ever came
  ports::Burst burst;
  Classified flows;
  ports::Notifier notifier;
  Egress egress{notifier};
};

}  // namespace sluice::datapath
