// PendingFlows: the packets of one PMD that wait for the slow path's decisions, a queue for each pending entry.
//
// Bounded in every direction, so that one port's new flows cannot take what another needs: flows a port, packets a
// flow, and buffers a port. Owned and called by the PMD alone, but for flows_of(), which anybody may ask.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "flowtable/flow_key.hpp"

struct rte_mbuf;

namespace sluice::datapath {

struct PendingLimits {
  std::uint32_t flows = 16384;  ///< of all ports together
  /// Where buffers suffice: 13 ms at 150,000 new flows a second, which a slow path may have to wait for a core.
  std::uint32_t flows_per_port = 2048;
  std::uint32_t buffers = 4096;  ///< mbufs of all ports together
};

class PendingFlows {
 public:
  using Queue = std::uint32_t;
  /// The most packets that wait in one flow.
  static constexpr std::uint32_t kPacketsPerFlow = 256;

  explicit PendingFlows(const PendingLimits& limits);
  /// Frees the packets that still wait.
  ~PendingFlows();
  PendingFlows(const PendingFlows&) = delete;
  PendingFlows& operator=(const PendingFlows&) = delete;

  /// The switch has this many ports now: each gets its share of what all have together.
  void share_between(std::size_t ports);

  /// Whether `port` may have one more flow waiting.
  [[nodiscard]] bool has_room_for_flow(flowtable::PortId port) const;
  /// How many flows of `port` are waiting.
  [[nodiscard]] std::uint32_t flows_of(flowtable::PortId port) const {
    // relaxed: whoever asks from another thread waits for the end of a loop besides (PmdSet).
    return ports_[port].flows.load(std::memory_order_relaxed);
  }
  /// Whether `port` may have `buffers` mbufs more waiting.
  [[nodiscard]] bool has_room_for_packet(flowtable::PortId port, std::uint32_t buffers) const;
  [[nodiscard]] bool has_room_in(Queue queue) const { return queues_[queue].packets < kPacketsPerFlow; }

  /// Opens a queue; has_room_for_flow() said yes.
  [[nodiscard]] Queue open(flowtable::PortId port);
  struct Packet {
    rte_mbuf* mbuf;         ///< null: none
    std::uint64_t arrival;  ///< its number among all packets that ever came
  };
  /// Takes the mbuf over, behind those in the queue that came before it; has_room_in() and has_room_for_packet() said
  /// yes.
  void push(Queue queue, const Packet& packet);
  /// The packet that came first, which is the caller's from then on; null when none is left.
  [[nodiscard]] Packet pop(Queue queue);
  /// Closes an empty queue.
  void close(Queue queue);

  [[nodiscard]] flowtable::PortId port_of(Queue queue) const { return queues_[queue].port; }
  [[nodiscard]] std::size_t open_queues() const { return open_; }

 private:
  static constexpr std::uint32_t kNone = 0xffffffff;
  struct FlowQueue {
    std::uint32_t first = kNone;  ///< nodes; in a free queue, the next free one
    std::uint32_t last = kNone;
    std::uint32_t packets = 0;
    flowtable::PortId port = flowtable::kNoPort;
  };
  struct Node {
    Packet packet;
    std::uint32_t next;
  };
  struct PortUse {
    std::atomic<std::uint32_t> flows{0};  ///< written by the PMD alone
    std::uint32_t buffers = 0;
  };

  void count_flows(flowtable::PortId port, std::uint32_t count) {
    ports_[port].flows.store(count, std::memory_order_relaxed);
  }

  PendingLimits limits_;
  std::uint32_t flow_share_;
  std::uint32_t buffer_share_;
  std::size_t open_ = 0;
  std::vector<FlowQueue> queues_;
  std::vector<Node> nodes_;
  std::vector<PortUse> ports_;
  Queue free_queue_ = 0;
  std::uint32_t free_node_ = 0;
};

}  // namespace sluice::datapath
