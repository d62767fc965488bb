#include "control/replay/ring_ports.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#include <rte_errno.h>
#include <rte_eth_ring.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_ring.h>

#include <fmt/format.h>

#include "ports/frame.hpp"

namespace sluice::control {
namespace {

constexpr std::size_t kQueuesADevice = std::min<std::size_t>(RTE_PMD_RING_MAX_RX_RINGS, RTE_PMD_RING_MAX_TX_RINGS);
static_assert(RingPorts::kMostPorts <= kQueuesADevice * RTE_MAX_ETHPORTS);
constexpr unsigned kInSize = 64;
/// Of what one frame can become at one port: a rule may name a port more than once.
constexpr unsigned kOutSize = 1024;
constexpr std::uint16_t kDescriptors = 1024;
constexpr auto kAnyNode = static_cast<unsigned>(SOCKET_ID_ANY);

tl::unexpected<Error> failed(const std::string& what, int error) {
  return tl::unexpected(Error{fmt::format("the ports of the replay: {}: {}", what, rte_strerror(error))});
}

/// Copies a frame into a chain of mbufs; null if there are too few.
rte_mbuf* fill(rte_mempool* pool, std::span<const std::uint8_t> frame) {
  rte_mbuf* const first = rte_pktmbuf_alloc(pool);
  if (first == nullptr) return nullptr;
  rte_mbuf* last = first;
  while (true) {
    const auto size = static_cast<std::uint16_t>(std::min<std::size_t>(frame.size(), rte_pktmbuf_tailroom(last)));
    std::memcpy(rte_pktmbuf_mtod(last, std::uint8_t*), frame.data(), size);
    last->data_len = size;
    first->pkt_len += size;
    frame = frame.subspan(size);
    if (frame.empty()) return first;
    rte_mbuf* const next = rte_pktmbuf_alloc(pool);
    if (next == nullptr) {
      rte_pktmbuf_free(first);
      return nullptr;
    }
    last->next = next;
    ++first->nb_segs;
    last = next;
  }
}

}  // namespace

void RingPorts::RingDeleter::operator()(rte_ring* ring) const {
  void* mbuf = nullptr;
  while (rte_ring_dequeue(ring, &mbuf) == 0) rte_pktmbuf_free(static_cast<rte_mbuf*>(mbuf));
  rte_ring_free(ring);
}

Expected<RingPorts> RingPorts::create(std::size_t count, rte_mempool* pool) {
  RingPorts ports(pool);
  if (const auto made = ports.create_rings(count); !made) return tl::unexpected(made.error());
  for (std::size_t first = 0; first < count; first += kQueuesADevice) {
    if (const auto made = ports.create_device(first, std::min(kQueuesADevice, count - first)); !made) {
      return tl::unexpected(made.error());
    }
  }
  return ports;
}

Expected<void> RingPorts::create_rings(std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    constexpr unsigned kFlags = RING_F_SP_ENQ | RING_F_SC_DEQ;
    in_.emplace_back(rte_ring_create(fmt::format("replay_in_{}", i).c_str(), kInSize, SOCKET_ID_ANY, kFlags));
    out_.emplace_back(rte_ring_create(fmt::format("replay_out_{}", i).c_str(), kOutSize, SOCKET_ID_ANY, kFlags));
    if (in_.back() == nullptr || out_.back() == nullptr) return failed(fmt::format("ring {}", i), rte_errno);
  }
  return {};
}

Expected<void> RingPorts::create_device(std::size_t first, std::size_t count) {
  std::array<rte_ring*, kQueuesADevice> in{};
  std::array<rte_ring*, kQueuesADevice> out{};
  for (std::size_t i = 0; i < count; ++i) {
    in[i] = in_[first + i].get();
    out[i] = out_[first + i].get();
  }
  const auto queues = static_cast<std::uint16_t>(count);
  const std::string name = fmt::format("net_ring_replay{}", devices_.size());
  const int made = rte_eth_from_rings(name.c_str(), in.data(), queues, out.data(), queues, 0);
  if (made < 0) return failed(name, rte_errno);
  const auto device = static_cast<std::uint16_t>(made);
  devices_.push_back(device);

  const rte_eth_conf conf{};
  int result = rte_eth_dev_configure(device, queues, queues, &conf);
  for (std::uint16_t q = 0; q < queues && result == 0; ++q) {
    result = rte_eth_rx_queue_setup(device, q, kDescriptors, kAnyNode, nullptr, pool_);
    if (result == 0) result = rte_eth_tx_queue_setup(device, q, kDescriptors, kAnyNode, nullptr);
    queues_.push_back(std::make_unique<ports::ethdev::EthdevQueue>(ports::ethdev::EthdevQueue{
        .device = device, .queue = q, .pool = pool_, .tx = {}, .max_frame = ports::kMaxFrameSize}));
  }
  if (result == 0) result = rte_eth_dev_start(device);
  if (result != 0) return failed(name, -result);
  return {};
}

RingPorts::~RingPorts() {
  for (const std::uint16_t device : devices_) {
    rte_eth_dev_stop(device);
    rte_eth_dev_close(device);
  }
}

bool RingPorts::put(std::size_t port, std::span<const std::uint8_t> frame) {
  rte_mbuf* const mbuf = fill(pool_, frame);
  if (mbuf == nullptr) return false;
  if (rte_ring_sp_enqueue(in_[port].get(), mbuf) == 0) return true;
  rte_pktmbuf_free(mbuf);
  return false;
}

void RingPorts::take(const Taker& taker) {
  for (std::size_t port = 0; port < out_.size(); ++port) {
    void* item = nullptr;
    while (rte_ring_sc_dequeue(out_[port].get(), &item) == 0) {
      rte_mbuf* const mbuf = static_cast<rte_mbuf*>(item);
      if (mbuf->nb_segs == 1) {
        taker(port, {rte_pktmbuf_mtod(mbuf, const std::uint8_t*), mbuf->pkt_len});
      } else {
        joined_.resize(mbuf->pkt_len);
        taker(port, {static_cast<const std::uint8_t*>(rte_pktmbuf_read(mbuf, 0, mbuf->pkt_len, joined_.data())),
                     mbuf->pkt_len});
      }
      rte_pktmbuf_free(mbuf);
    }
  }
}

}  // namespace sluice::control
