// RingPorts: ports whose other end is this program: what is put in is received by the switch, what it transmits is
// taken out. They are DPDK's ring devices, so that the datapath runs as it does over any ethdev.
//
// A DPDK process has few devices (RTE_MAX_ETHPORTS, 32) with a few ring queues each, so a port is a queue here.
// One thread, which is also the PMD's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "control/error.hpp"
#include "ports/ethdev/ethdev_queue.hpp"
#include "ports/queue.hpp"

struct rte_mempool;
struct rte_ring;

namespace sluice::control {

class RingPorts {
 public:
  static constexpr std::size_t kMostPorts = 480;

  /// EAL is started; `pool` outlives the ports. At most kMostPorts.
  [[nodiscard]] static Expected<RingPorts> create(std::size_t count, rte_mempool* pool);
  RingPorts(RingPorts&&) = default;
  RingPorts& operator=(RingPorts&&) = delete;
  ~RingPorts();

  [[nodiscard]] ports::RxQueue rx_queue(std::size_t port) { return ports::RxQueue(*queues_[port]); }
  [[nodiscard]] ports::TxQueue tx_queue(std::size_t port) { return ports::TxQueue(*queues_[port]); }

  /// Puts a frame where the switch receives it. False if no buffers are left or too many frames wait there.
  [[nodiscard]] bool put(std::size_t port, std::span<const std::uint8_t> frame);

  /// Takes out all that was transmitted, port by port, each port's in order.
  using Taker = std::function<void(std::size_t port, std::span<const std::uint8_t> frame)>;
  void take(const Taker& taker);

 private:
  explicit RingPorts(rte_mempool* pool) : pool_(pool) {}
  [[nodiscard]] Expected<void> create_rings(std::size_t count);
  [[nodiscard]] Expected<void> create_device(std::size_t first, std::size_t count);

  struct RingDeleter {
    void operator()(rte_ring* ring) const;
  };
  using Ring = std::unique_ptr<rte_ring, RingDeleter>;

  rte_mempool* pool_;
  std::vector<Ring> in_;
  std::vector<Ring> out_;
  std::vector<std::uint16_t> devices_;
  std::vector<std::unique_ptr<ports::ethdev::EthdevQueue>> queues_;
  std::vector<std::uint8_t> joined_;  ///< a frame of more than one segment, in one piece
};

}  // namespace sluice::control
