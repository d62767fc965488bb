// Two PMD threads and the slow path's, as `sluice run` has them, under traffic: queues move from PMD to PMD, and each
// guest's one receive queue is transmitted to by both. With the thread sanitizer this is where races show.
#include <gtest/gtest.h>
#include <rte_mempool.h>

#include <chrono>
#include <cstring>
#include <map>
#include <numeric>
#include <thread>

#include "control/rules/parse.hpp"
#include "control/slowpath/slow_path_thread.hpp"
#include "control/switch/pmd_set.hpp"
#include "datapath/clock.hpp"
#include "tests/unit/law/endpoint.hpp"
#include "tests/unit/law/frame_of.hpp"

namespace sluice::test {
namespace {

using control::PortQueues;
using flowtable::PortId;

constexpr PortId kGuests = 4;
constexpr std::uint16_t kFlows = 8;  ///< from each guest to each other one
constexpr std::size_t kOnTheirWay = 100;
constexpr auto kPatience = std::chrono::seconds(60);

Bytes udp(PortId from, PortId to, std::uint16_t flow, std::uint32_t number) {
  flowtable::FlowKey key{};
  key.packet_class = static_cast<std::uint8_t>(flowtable::PacketClass::ipv4_udp);
  key.dl_src = {{2, 0, 0, 0, 0, static_cast<std::uint8_t>(from)}};
  key.dl_dst = {{2, 0, 0, 0, 0, static_cast<std::uint8_t>(to)}};
  key.ethertype_be = 8;
  key.nw_proto = 17;
  key.nw_src[12] = key.nw_dst[12] = 10;
  key.tp_src_be = flow;
  Bytes frame = frame_of(key, 20 + number * 37 % 1200);
  for (std::size_t i = 42; i < frame.size(); ++i) frame[i] = static_cast<std::uint8_t>(number + i);
  std::memcpy(frame.data() + 42, &number, 4);
  return frame;
}

class Threads : public ::testing::Test {
 protected:
  Threads() {
    start_dpdk();
    free_mbufs_ = rte_mempool_avail_count(shared_pool());
    for (PortId port = 0; port < kGuests; ++port) {
      if (port % 2 == 0) {
        guests_.push_back(std::make_unique<GuestEndpoint<SplitDriver>>());
      } else {
        guests_.push_back(std::make_unique<GuestEndpoint<PackedDriver>>());
      }
    }
    control::PmdConfig config;
    config.cores = {1, 0};
    config.idle_sleep = std::chrono::microseconds(50);
    pmds_ = std::make_unique<control::PmdSet>(*control::PmdSet::create(
        config, {.flow_limit = 4096, .secret = {{1, 2}}, .pool = shared_pool(), .pending = {}}));
    std::vector<control::PmdLink> links;
    for (const auto& member : pmds_->members()) links.push_back(control::link_to(*member.pmd));
    control::SlowPathOptions options;
    options.flows.idle_timeout = std::chrono::hours(1);  // flows that are known stay so, however slow the machine
    auto slow = std::make_unique<control::SlowPath>(options, std::move(links));
    for (PortId port = 0; port < kGuests; ++port) {
      slow->set_port(port, "p" + std::to_string(port), {});
      EXPECT_TRUE(slow->announce({{2, 0, 0, 0, 0, static_cast<std::uint8_t>(port)}}, port));
    }
    slow->add_rule(*control::parse_rule("udp,tp_src=65535,actions=drop", slow->port_names()));
    slow_ = std::make_unique<control::SlowPathThread>(std::move(slow), datapath::now_ns, pmds_->doorbell());
    pmds_->make_threads();
    pmds_->start_threads();
    use(0);
  }
  ~Threads() override {
    pmds_->use({});
    pmds_->end_threads();
    slow_.reset();
    EXPECT_EQ(came(), went());
    pmds_.reset();
    EXPECT_EQ(rte_mempool_avail_count(shared_pool()), free_mbufs_);
  }

  /// The ports, the one at `first` first: the PMDs take turns, so that an odd step moves every queue.
  void use(unsigned first) {
    std::vector<PortQueues> ports;
    for (unsigned i = 0; i < kGuests; ++i) {
      const auto port = static_cast<PortId>((first + i) % kGuests);
      ports.push_back({.id = port,
                       .name = "p" + std::to_string(port),
                       .max_frame = 1522,
                       .rx = {guests_[port]->rx()},
                       .tx = {guests_[port]->tx()}});
    }
    pmds_->use(ports);
  }

  /// False if that has to wait.
  bool send(PortId from, PortId to, std::uint16_t flow) {
    auto& next = next_[{from, to, flow}];
    if (sent_ - received_ >= kOnTheirWay || !guests_[from]->send(udp(from, to, flow, next))) return false;
    ++next;
    ++sent_;
    return true;
  }
  void send_some() {
    for (PortId from = 0; from < kGuests; ++from) {
      const auto to = static_cast<PortId>((from + 1 + turn_ % (kGuests - 1)) % kGuests);
      send(from, to, static_cast<std::uint16_t>(1 + turn_ / (kGuests - 1) % kFlows));
    }
    ++turn_;
  }
  void take_all() {
    for (PortId at = 0; at < kGuests; ++at) {
      for (const auto& frame : guests_[at]->take()) {
        ASSERT_GE(frame.size(), 62U);
        std::uint16_t flow;
        std::uint32_t number;
        std::memcpy(&flow, frame.data() + 34, 2);
        std::memcpy(&number, frame.data() + 42, 4);
        const PortId from = frame[11];
        const PortId to = frame[5];
        ASSERT_EQ(frame, udp(from, to, flow, number)) << "not a byte may differ";
        if (at != to) {
          ASSERT_TRUE(flooding_) << "a frame for guest " << to << " came out at " << at;
          continue;
        }
        auto& expected = expected_[{from, to, flow}];
        ASSERT_EQ(number, expected) << "lost, overtaken, or there twice";
        expected = number + 1;
        ++received_;
      }
    }
  }
  void wait_for_all() {
    const auto end = std::chrono::steady_clock::now() + kPatience;
    while (received_ != sent_) {
      take_all();
      if (HasFatalFailure()) return;
      ASSERT_EQ(dropped(), 0U);
      ASSERT_LT(std::chrono::steady_clock::now(), end) << sent_ - received_ << " packets are missing";
      std::this_thread::yield();
    }
  }

  [[nodiscard]] std::uint64_t dropped() const {
    std::uint64_t sum = 0;
    for (PortId port = 0; port < kGuests; ++port) {
      for (std::size_t r = 0; r < ports::kDropReasons; ++r) {
        sum += pmds_->tallies().dropped(port, static_cast<ports::DropReason>(r));
      }
    }
    return sum;
  }
  [[nodiscard]] std::uint64_t sum(ports::Counter ports::PortCounters::*counter) const {
    std::uint64_t all = 0;
    for (PortId port = 0; port < kGuests; ++port) all += pmds_->tallies().sum(port, counter);
    return all;
  }
  [[nodiscard]] std::uint64_t came() const {
    return sum(&ports::PortCounters::rx_packets) + sum(&ports::PortCounters::copies) +
           sum(&ports::PortCounters::segments);
  }
  [[nodiscard]] std::uint64_t went() const { return sum(&ports::PortCounters::tx_packets) + dropped(); }

  unsigned free_mbufs_ = 0;
  std::vector<std::unique_ptr<Endpoint>> guests_;
  std::unique_ptr<control::PmdSet> pmds_;
  std::unique_ptr<control::SlowPathThread> slow_;
  bool flooding_ = false;  ///< addresses are forgotten now and then: copies come out elsewhere as well
  unsigned turn_ = 0;
  std::uint64_t sent_ = 0;
  std::uint64_t received_ = 0;
  using Flow = std::tuple<PortId, PortId, std::uint16_t>;
  std::map<Flow, std::uint32_t> next_;
  std::map<Flow, std::uint32_t> expected_;
};

TEST_F(Threads, all_arrives_whole_and_in_order_while_queues_move_from_pmd_to_pmd) {
  for (unsigned move = 0; move < 80; ++move) {
    use(move);
    for (int i = 0; i < 60; ++i) {
      send_some();
      take_all();
      if (HasFatalFailure()) return;
    }
    if (move % 4 == 3) wait_for_all();  // else a slow machine moves queues without moving packets
  }
  wait_for_all();
  for (const auto& member : pmds_->members()) EXPECT_GT(member.pmd->counters().hits.get(), 0U);
}

TEST_F(Threads, a_flow_that_waits_for_its_decision_is_not_overtaken_when_its_queue_moves) {
  for (unsigned move = 0; move < 60; ++move) {
    const auto flow = static_cast<std::uint16_t>(1000 + move);
    slow_->post([](control::SlowPath&) { std::this_thread::sleep_for(std::chrono::milliseconds(3)); });
    const std::uint64_t before = came();
    for (int i = 0; i < 5; ++i) ASSERT_TRUE(send(0, 1, flow));
    const auto end = std::chrono::steady_clock::now() + kPatience;
    while (came() < before + 5) ASSERT_LT(std::chrono::steady_clock::now(), end);
    use(move + 1);
    for (int i = 0; i < 5; ++i) ASSERT_TRUE(send(0, 1, flow));
    wait_for_all();
    if (HasFatalFailure()) return;
  }
}

TEST_F(Threads, all_arrives_in_order_while_rules_and_addresses_change) {
  flooding_ = true;
  for (int round = 0; round < 60; ++round) {
    slow_->post([round](control::SlowPath& slow) {
      // They match no packet, but masks change with them.
      const auto rule = *control::parse_rule(
          round / 4 % 2 == 0 ? "ip,nw_src=10.1.0.0/16,actions=drop" : "udp,tp_dst=7,actions=drop", slow.port_names());
      if (round % 4 < 2)
        slow.add_rule(rule);
      else
        slow.delete_rule(rule);
      if (round % 3 == 0) slow.flush_fdb();
    });
    for (int i = 0; i < 40; ++i) {
      send_some();
      take_all();
      if (HasFatalFailure()) return;
    }
  }
  wait_for_all();
}

}  // namespace
}  // namespace sluice::test
