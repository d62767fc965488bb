// Joined: a real Pmd and a real SlowPath, one step at a time under a clock that is given, with ports of every kind:
// 0 a guest with split rings, 1 one with packed rings, 2 and 3 DPDK devices.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "control/slowpath/slow_path.hpp"
#include "datapath/pmd.hpp"
#include "tests/unit/law/endpoint.hpp"

namespace sluice::test {

inline constexpr std::uint64_t kSecond = 1'000'000'000;

class Joined {
 public:
  static constexpr flowtable::PortId kPorts = 4;
  static constexpr flowtable::PortId kGuests = 2;  ///< the first ones

  struct Options {
    control::SlowPathOptions slow{};
    std::size_t table = 4096;
    datapath::PendingLimits pending{};
    datapath::Doorbell* doorbell = nullptr;
  };

  explicit Joined(const Options& options) : upcalls_(32768) {
    pmd = std::move(*datapath::Pmd::create({.flow_limit = options.table,
                                            .secret = {{3, 4}},
                                            .pool = shared_pool(),
                                            .pending = options.pending,
                                            .doorbell = options.doorbell}));
    control::PmdLink link = control::link_to(*pmd);
    link.upcalls = &upcalls_;
    link.publish_masks = [this](const datapath::MaskView* view) {
      masks_ = view;
      return pmd->publish_masks(view);
    };
    slow = std::make_unique<control::SlowPath>(options.slow, std::vector{link});
    ends.push_back(std::make_unique<GuestEndpoint<SplitDriver>>());
    ends.push_back(std::make_unique<GuestEndpoint<PackedDriver>>());
    ends.push_back(std::make_unique<RingEndpoint>(0));
    ends.push_back(std::make_unique<RingEndpoint>(1));
    plugged_.resize(kPorts);
    counters_ = std::make_unique<ports::PortCounters[]>(kPorts);
    publish();
  }
  ~Joined() {
    slow.reset();
    static_cast<void>(pmd->publish_ports(nullptr));
    pmd.reset();
    for (const auto& end : ends) static_cast<void>(end->take());
  }
  Joined(const Joined&) = delete;
  Joined& operator=(const Joined&) = delete;

  static std::string name(flowtable::PortId port) { return "p" + std::to_string(port); }
  [[nodiscard]] bool plugged(flowtable::PortId port) const { return plugged_[port]; }

  /// As the switch does it: the slow path first.
  void plug(flowtable::PortId port, const control::VlanConfig& vlan = {}) {
    slow->set_port(port, name(port), vlan);
    plugged_[port] = true;
    publish();
  }
  /// The PMD first. What was sent is received before: it would stay in the guest's ring.
  void unplug(flowtable::PortId port) {
    pmd->run_once(now);
    plugged_[port] = false;
    publish();
    slow->remove_port(port);
  }

  /// Lets the slow path see at most `most` of the upcalls that wait, and gives it a round.
  bool step_slow(std::size_t most = 1) {
    datapath::Upcall upcall;
    bool any = false;
    while (most-- != 0 && pmd->upcalls().pop({&upcall, 1}) == 1) any |= upcalls_.push(upcall);
    return slow->run_once(now) || any;
  }
  /// Until nobody has anything to do.
  void settle() {
    for (bool worked = true; worked;) {
      worked = pmd->run_once(now);
      worked |= step_slow(SIZE_MAX);
    }
  }
  /// Lets time pass, with rounds whenever one is due.
  void wait(std::uint64_t ns) {
    const auto end = now + ns;
    for (auto next = slow->next_deadline(); next && *next <= end; next = slow->next_deadline()) {
      now = std::max(now, *next);
      settle();
      if (slow->next_deadline() == next) break;
    }
    now = end;
    settle();
  }

  /// The entry that a packet of this key meets now.
  [[nodiscard]] flowtable::FlowEntry* find(const flowtable::FlowKey& key) const {
    return pmd->table().find(masked(key));
  }
  [[nodiscard]] flowtable::FlowKey masked(const flowtable::FlowKey& key) const {
    const auto& mask = masks_->ports.at(key.in_port)[key.packet_class];
    auto result = flowtable::masked(key, mask.mask);
    result.mask_generation = mask.generation;
    return result;
  }

  [[nodiscard]] const ports::PortCounters& counters(flowtable::PortId port) const { return counters_[port]; }
  [[nodiscard]] const datapath::QueueCounters& queue_counters(flowtable::PortId port) const {
    return queue_counters_[port];
  }
  /// The two sides of the law in ports/counters.hpp.
  [[nodiscard]] std::uint64_t came() const {
    std::uint64_t sum = 0;
    for (flowtable::PortId p = 0; p < kPorts; ++p) {
      sum += counters_[p].rx_packets.get() + counters_[p].copies.get() + counters_[p].segments.get();
    }
    return sum;
  }
  [[nodiscard]] std::uint64_t went() const {
    std::uint64_t sum = 0;
    for (flowtable::PortId p = 0; p < kPorts; ++p) {
      sum += counters_[p].tx_packets.get();
      for (const auto& reason : counters_[p].drops) sum += reason.get();
    }
    return sum;
  }

  std::uint64_t now = 1000 * kSecond;
  std::unique_ptr<datapath::Pmd> pmd;
  std::unique_ptr<control::SlowPath> slow;
  std::vector<std::unique_ptr<Endpoint>> ends;

 private:
  void publish() {
    auto view = std::make_unique<datapath::PortView>();
    view->tx.resize(kPorts);
    view->polled_ports = 0;
    for (flowtable::PortId port = 0; port < kPorts; ++port) {
      view->counters.push_back(&counters_[port]);
      if (!plugged_[port]) continue;
      view->rx.push_back({ends[port]->rx(), port, 0, &queue_counters_[port]});
      view->tx[port] = {{ends[port]->tx()}, nullptr, 1522};
      ++view->polled_ports;
    }
    view->polled_ports = std::max<std::size_t>(view->polled_ports, 1);
    static_cast<void>(pmd->publish_ports(std::move(view)));
  }

  datapath::UpcallRing upcalls_;  ///< what the slow path has been let see
  const datapath::MaskView* masks_ = nullptr;
  std::vector<bool> plugged_;
  std::unique_ptr<ports::PortCounters[]> counters_;
  std::array<datapath::QueueCounters, kPorts> queue_counters_;
};

}  // namespace sluice::test
