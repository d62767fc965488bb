// Endpoint: the far end of a port: a virtio driver in miniature, or DPDK's rings. What is sent here the switch
// receives, and what it transmits can be taken out here.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <vector>

#include "control/replay/ring_ports.hpp"
#include "ports/queue.hpp"
#include "tests/unit/execute/world.hpp"
#include "tests/unit/rings/driver.hpp"

namespace sluice::test {

class Endpoint {
 public:
  virtual ~Endpoint() = default;
  /// False if there is no room. `offload`: what is left to be done to the frame; of guests alone.
  virtual bool send(const Bytes& frame, const ports::Offload& offload) = 0;
  bool send(const Bytes& frame) { return send(frame, {}); }
  virtual std::vector<Bytes> take() = 0;
  [[nodiscard]] virtual ports::RxQueue rx() = 0;
  [[nodiscard]] virtual ports::TxQueue tx() = 0;
};

/// A guest with one queue pair. `Driver`: SplitDriver or PackedDriver.
template <typename Driver>
class GuestEndpoint final : public Endpoint {
 public:
  static constexpr std::uint32_t kRing = 256;
  static constexpr std::uint32_t kBuffer = 2048;

  GuestEndpoint() : from_(guest_, kRing), to_(guest_, kRing) {
    from_.vring.tx_csum = from_.vring.tx_tso4 = from_.vring.tx_tso6 = true;
    for (unsigned i = 0; i < kRing; ++i) free_.push_back(guest_.allocate(kBuffer));
    for (unsigned i = 0; i < kRing; ++i) post(guest_.allocate(kBuffer));
  }

  using Endpoint::send;
  bool send(const Bytes& frame, const ports::Offload& offload) override {
    reclaim();
    if (free_.empty()) return false;
    const std::uint64_t at = free_.back();
    std::memset(guest_.at(at), 0, kHeader);
    std::memcpy(guest_.at(at), &offload, sizeof offload);
    std::copy(frame.begin(), frame.end(), guest_.at(at) + kHeader);
    const auto size = static_cast<std::uint32_t>(kHeader + frame.size());
    // By turns in one piece and in three.
    std::vector<Buf> bufs{{at, size}};
    if (++sent_ % 2 == 0) bufs = {{at, kHeader + 5}, {at + kHeader + 5, 7}, {at + kHeader + 12, size - kHeader - 12}};
    const auto id = from_.add(bufs);
    if (!id) return false;
    free_.pop_back();
    lent_[*id] = at;
    return true;
  }

  std::vector<Bytes> take() override {
    std::vector<Bytes> frames;
    while (const auto used = to_.used()) {
      const std::uint64_t at = posted_.at(used->id);
      posted_.erase(used->id);
      frames.emplace_back(guest_.at(at) + kHeader, guest_.at(at) + used->len);
      post(at);
    }
    return frames;
  }

  [[nodiscard]] ports::RxQueue rx() override { return ports::RxQueue(from_.queue); }
  [[nodiscard]] ports::TxQueue tx() override { return ports::TxQueue(to_.queue); }

 private:
  static constexpr std::uint32_t kHeader = 12;  // virtio_net_hdr_v1: an Offload, and num_buffers

  void post(std::uint64_t at) { posted_[*to_.add({{at, kBuffer, true}})] = at; }
  void reclaim() {
    while (const auto used = from_.used()) {
      free_.push_back(lent_.at(used->id));
      lent_.erase(used->id);
    }
  }

  Guest guest_;
  Driver from_;
  Driver to_;
  std::vector<std::uint64_t> free_;
  std::map<std::uint16_t, std::uint64_t> lent_;
  std::map<std::uint16_t, std::uint64_t> posted_;
  unsigned sent_ = 0;
};

/// DPDK's rings, in one thread. They stay until the process ends, since net_ring does not give all back.
class RingEndpoint final : public Endpoint {
 public:
  static constexpr std::size_t kMost = 2;

  explicit RingEndpoint(std::size_t n) : n_(n) { static_cast<void>(take()); }

  using Endpoint::send;
  bool send(const Bytes& frame, const ports::Offload& offload) override {
    return !offload.any() && rings().put(n_, frame);
  }
  std::vector<Bytes> take() override {
    rings().take([](std::size_t n, std::span<const std::uint8_t> frame) {
      taken()[n].emplace_back(frame.begin(), frame.end());
    });
    return std::exchange(taken()[n_], {});
  }
  [[nodiscard]] ports::RxQueue rx() override { return rings().rx_queue(n_); }
  [[nodiscard]] ports::TxQueue tx() override { return rings().tx_queue(n_); }

 private:
  static control::RingPorts& rings() {
    static auto* const all = new control::RingPorts(*control::RingPorts::create(kMost, shared_pool()));
    return *all;
  }
  static std::vector<std::vector<Bytes>>& taken() {
    static std::vector<std::vector<Bytes>> frames(kMost);
    return frames;
  }

  std::size_t n_;
};

}  // namespace sluice::test
