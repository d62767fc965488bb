// What execute and egress need around them in a test: DPDK in ordinary memory, and ports that are rings, so that what
// is transmitted to one can be received from it again.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "datapath/egress.hpp"
#include "datapath/execute.hpp"
#include "datapath/parse.hpp"
#include "flowtable/action.hpp"
#include "ports/eal.hpp"
#include "ports/ethdev/ethdev_port.hpp"
#include "ports/mbuf_frame.hpp"
#include "ports/queue.hpp"

#include <rte_ethdev.h>
#include <rte_mbuf.h>

namespace sluice::test {

using Bytes = std::vector<std::uint8_t>;

/// DPDK, from the first use until the process ends.
inline void start_dpdk() {
  static auto eal = ports::Eal::start({.megabytes = 192, .log = [](unsigned, std::string_view line) {
                                         std::fprintf(stderr, "%.*s\n", static_cast<int>(line.size()), line.data());
                                       }});
  if (!eal) {
    std::fprintf(stderr, "%s\n", eal.error().c_str());
    std::abort();
  }
}

inline rte_mempool* shared_pool() {
  start_dpdk();
  static const auto pool = ports::make_mbuf_pool("test", 8192, -1);
  return pool->get();
}

/// For ports that are ethdevs.
inline ports::PortPools* port_pools() {
  start_dpdk();
  static auto* const pools = new ports::PortPools(0);  // outlives all static ports
  return pools;
}

/// A frame as a guest would have sent it: the head in a HeadSlot, the rest in pieces of memory that is not ours.
class GuestFrame {
 public:
  /// `piece_size`: how long the pieces of the rest are.
  explicit GuestFrame(const Bytes& bytes, const ports::Offload& offload = {}, std::size_t piece_size = 1000)
      : slot_(std::make_unique<ports::HeadSlot>()), memory_(bytes) {
    const std::size_t head = std::min<std::size_t>(bytes.size(), ports::kHeadSize);
    std::copy_n(bytes.begin(), head, slot_->head());
    for (std::size_t at = head; at < bytes.size(); at += piece_size) {
      const std::size_t size = std::min(piece_size, bytes.size() - at);
      pieces_.push_back({memory_.data() + at, static_cast<std::uint32_t>(size)});
    }
    frame_ = std::make_unique<ports::Frame>();
    frame_->head = slot_->head();
    frame_->head_size = static_cast<std::uint32_t>(head);
    frame_->size = static_cast<std::uint32_t>(bytes.size());
    frame_->rest = pieces_.data();
    frame_->rest_count = static_cast<std::uint16_t>(pieces_.size());
    frame_->outputs = 0;
    frame_->offload = offload;
    frame_->mbuf = nullptr;
  }
  [[nodiscard]] ports::Frame& frame() { return *frame_; }
  [[nodiscard]] const Bytes& memory() const { return memory_; }

 private:
  std::unique_ptr<ports::HeadSlot> slot_;
  Bytes memory_;
  std::vector<ports::Segment> pieces_;
  std::unique_ptr<ports::Frame> frame_;
};

inline Bytes bytes_of(const ports::Frame& frame) {
  Bytes bytes(frame.head, frame.head + frame.head_size);
  for (const ports::Segment& piece : std::span(frame.rest, frame.rest_count)) {
    bytes.insert(bytes.end(), piece.data, piece.data + piece.size);
  }
  return bytes;
}

/// Devices of which no World makes use. net_ring leaves most of its memory zones behind when it is removed, so none is.
inline std::vector<std::uint16_t>& spare_rings() {
  static std::vector<std::uint16_t> spare;
  return spare;
}

inline std::uint16_t next_ring() {
  static std::vector<std::unique_ptr<ports::ethdev::EthdevPort>> all;
  if (spare_rings().empty()) {
    const std::string device = "net_ring_t" + std::to_string(all.size());
    auto port =
        ports::ethdev::EthdevPort::create({.name = "p", .devargs = device, .queue_size = 64, .pools = port_pools()});
    if (!port) {
      std::fprintf(stderr, "%s\n", port.error().c_str());
      std::abort();
    }
    all.push_back(std::move(*port));
    std::uint16_t id = 0;
    rte_eth_dev_get_port_by_name(device.c_str(), &id);
    return id;
  }
  const std::uint16_t id = spare_rings().back();
  spare_rings().pop_back();
  return id;
}

class World {
 public:
  static constexpr flowtable::PortId kInPort = 0;

  /// Ports 0 to count - 1, each of `queues` queues, each a ring of its own that 1023 frames fit in.
  explicit World(unsigned count, std::uint16_t queues = 1) {
    rte_mempool* const pool = shared_pool();
    queues_.resize(count);
    for (auto& of_port : queues_) {
      datapath::TxPort tx;
      tx.max_frame = 1522;
      for (unsigned q = 0; q < queues; ++q) {
        auto queue = std::make_unique<ports::ethdev::EthdevQueue>();
        queue->pool = pool;
        queue->device = next_ring();
        tx.queues.emplace_back(*queue);
        of_port.push_back(std::move(queue));
      }
      view.tx.push_back(std::move(tx));
      counters.push_back(std::make_unique<ports::PortCounters>());
      view.counters.push_back(counters.back().get());
    }
    egress.begin(view);
  }
  ~World() {
    for (flowtable::PortId port = 0; port < queues_.size(); ++port) {
      for (unsigned queue = 0; queue < queues_[port].size(); ++queue) static_cast<void>(received(port, queue));
      for (const auto& queue : queues_[port]) spare_rings().push_back(queue->device);
    }
  }

  ports::ethdev::EthdevQueue& queue(flowtable::PortId port) { return *queues_[port].front(); }

  /// What port's queues may leave undone.
  void set_capabilities(flowtable::PortId port, ports::TxCapabilities can) {
    for (const auto& queue : queues_[port]) queue->tx = can;
  }

  /// Counts the frame in and executes.
  void run(ports::Frame& frame, const flowtable::ActionList& list, std::uint32_t hash = 0) {
    in().rx_packets.add(1);
    flowtable::FlowKey key{};
    if (const auto reason = datapath::parse(frame, kInPort, key)) {
      in().drop(*reason);
    } else {
      datapath::execute(frame, list, hash, egress, in());
    }
  }
  void run(ports::Frame& frame, std::vector<flowtable::Action> actions, std::uint32_t hash = 0) {
    lists_.push_back(std::make_unique<flowtable::ActionList>(std::move(actions)));
    run(frame, *lists_.back(), hash);
  }

  /// All that has been transmitted to `port` since the last call, in order; of one of its queues.
  std::vector<Bytes> received(flowtable::PortId port, unsigned queue = 0) {
    std::vector<Bytes> frames;
    ports::PortCounters unused;
    auto burst = std::make_unique<ports::Burst>();
    do {
      ports::ethdev::receive(*queues_[port][queue], *burst, unused);
      for (const ports::Frame& frame : burst->view()) frames.push_back(bytes_of(frame));
      if (burst->count == 0) break;
      ports::ethdev::release(*queues_[port][queue], *burst);
    } while (true);
    return frames;
  }

  ports::PortCounters& in() { return *counters[kInPort]; }

  /// The two sides of the law in ports/counters.hpp.
  [[nodiscard]] std::uint64_t came() const {
    std::uint64_t sum = 0;
    for (const auto& c : counters) sum += c->rx_packets.get() + c->copies.get() + c->segments.get();
    return sum;
  }
  [[nodiscard]] std::uint64_t went() const {
    std::uint64_t sum = 0;
    for (const auto& c : counters) {
      sum += c->tx_packets.get();
      for (const ports::Counter& reason : c->drops) sum += reason.get();
    }
    return sum;
  }

  datapath::PortView view;
  ports::Notifier notifier;
  datapath::Egress egress{notifier};
  std::vector<std::unique_ptr<ports::PortCounters>> counters;

 private:
  std::vector<std::vector<std::unique_ptr<ports::ethdev::EthdevQueue>>> queues_;  ///< by port
  std::vector<std::unique_ptr<flowtable::ActionList>> lists_;
};

inline flowtable::Action action(flowtable::ActionKind kind, std::uint16_t value = 0, const Bytes& bytes = {}) {
  flowtable::Action a{.kind = kind, .value = value};
  std::copy_n(bytes.begin(), std::min(bytes.size(), a.bytes.size()), a.bytes.begin());
  return a;
}
inline flowtable::Action output(flowtable::PortId port) { return action(flowtable::ActionKind::output, port); }

}  // namespace sluice::test
