// EthdevPort: a port that is a DPDK ethdev, physical or virtual. Whatever kind it is, it is made from its device
// arguments. Control thread; PMDs see its queues.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <tl/expected.hpp>

#include "ports/ethdev/ethdev_queue.hpp"
#include "ports/ethdev/pacer.hpp"
#include "ports/ethdev/peer_socket.hpp"
#include "ports/ethdev/xdp_sockets.hpp"
#include "ports/event_loop.hpp"
#include "ports/port.hpp"
#include "ports/port_pools.hpp"

namespace sluice::ports::ethdev {

struct EthdevOptions {
  std::string name;                 ///< the port's, for messages
  std::string devargs;              ///< as for rte_dev_probe: "0000:01:00.0", "net_tap0,iface=t0"
  std::uint16_t queues = 1;         ///< Rx and Tx each
  std::uint16_t queue_size = 1024;  ///< descriptors; adjusted to what the device can have
  std::uint16_t mtu = 1500;
  PortPools* pools = nullptr;  ///< gives the port its buffers; outlives it
  enum class Pace : std::uint8_t { none, recorded, rate };
  Pace pace = Pace::none;
  double rate = 0;  ///< Pace::rate: frames a second, over all of a queue's
  PeerSocket peer{};
  const PortHost* host = nullptr;  ///< needed if peer.connects; outlives the port
};

class EthdevPort final : public Port {
 public:
  /// Attaches the device, configures and starts it. The error names the port, the device, what was tried and DPDK's
  /// reason; nothing stays attached then.
  [[nodiscard]] static tl::expected<std::unique_ptr<EthdevPort>, std::string> create(const EthdevOptions& options);
  /// Stops and removes the device. No PMD may be using its queues any more.
  ~EthdevPort() override;

  [[nodiscard]] std::vector<RxQueue> rx_queues() override;
  [[nodiscard]] std::vector<TxQueue> tx_queues() override;
  [[nodiscard]] PortStatus status() const override;
  [[nodiscard]] int numa_node() const override;

 private:
  explicit EthdevPort(const EthdevOptions& options) : options_(options) {}
  [[nodiscard]] tl::expected<void, std::string> attach();
  [[nodiscard]] tl::expected<void, std::string> check_mtu() const;
  [[nodiscard]] tl::expected<void, std::string> configure();
  [[nodiscard]] tl::expected<void, std::string> set_up_queues();
  [[nodiscard]] tl::expected<void, std::string> set_up_each_queue();
  [[nodiscard]] tl::expected<void, std::string> start();
  void discard_frames_of_other_interfaces();
  void make_pacers();
  /// What the device itself lost since it was opened, by DPDK's names: no queue has seen it.
  void add_losses(PortStatus& status) const;

  // A device that connects to a peer (ethdev_client.cpp).
  [[nodiscard]] tl::expected<void, std::string> keep_connected();
  void connect_if_served();
  void look_after_link();

  static constexpr std::uint16_t kNoDevice = 0xffff;
  const EthdevOptions options_;
  std::uint16_t device_ = kNoDevice;  ///< DPDK's port id
  bool started_ = false;              ///< if not, it has no queues: its peer is awaited
  bool has_run_ = false;              ///< its buffers may be anywhere
  rte_mempool* pool_ = nullptr;       ///< the port's own, of options_.pools
  XdpSockets xdp_sockets_;            ///< its queues', if it is of AF_XDP
  std::string driver_;
  TxCapabilities tx_;
  bool chains_ = false;  ///< it sends frames of more than one mbuf
  std::vector<std::unique_ptr<EthdevQueue>> queues_;
  std::vector<std::unique_ptr<Pacer>> pacers_;

  EventLoop::TimerId timer_ = 0;
  unsigned looks_without_link_ = 0;
  bool was_up_ = false;
};

}  // namespace sluice::ports::ethdev
