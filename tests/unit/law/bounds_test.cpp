// Bounds and fairness, with a real PMD and a real slow path: what is asserted are counts and rounds, not times.
#include <gtest/gtest.h>
#include <rte_mempool.h>

#include <cstring>

#include "control/rules/parse.hpp"
#include "datapath/pending.hpp"
#include "tests/unit/law/frame_of.hpp"
#include "tests/unit/law/joined.hpp"

namespace sluice::test {
namespace {

using flowtable::PortId;
using ports::DropReason;

constexpr PortId kSprayer = 0, kVictim = 1, kReceiver = 2;

/// UDP from `port` to the receiver; the source port is the flow.
Bytes udp(PortId port, std::uint16_t flow) {
  flowtable::FlowKey key{};
  key.packet_class = static_cast<std::uint8_t>(flowtable::PacketClass::ipv4_udp);
  key.dl_src = {{2, 0, 0, 0, 0, static_cast<std::uint8_t>(port)}};
  key.dl_dst = {{2, 0, 0, 0, 0, kReceiver}};
  key.ethertype_be = 8;
  key.nw_proto = 17;
  key.nw_src[12] = key.nw_dst[12] = 10;
  key.tp_src_be = flow;
  return frame_of(key, 20);
}

class Bounds : public ::testing::Test {
 protected:
  void start(const Joined::Options& options = {}) {
    joined_ = std::make_unique<Joined>(options);
    for (PortId port = 0; port < 3; ++port) joined_->plug(port);
    joined_->settle();
    // A rule on UDP ports makes each of them a flow of its own.
    joined_->slow->add_rule(*control::parse_rule("udp,tp_src=65535,actions=drop", joined_->slow->port_names()));
    ASSERT_TRUE(joined_->slow->announce({{2, 0, 0, 0, 0, kReceiver}}, kReceiver));
    joined_->settle();
    free_mbufs_ = rte_mempool_avail_count(shared_pool());
  }
  void spray(unsigned count) {
    for (unsigned i = 0; i < count; ++i) ASSERT_TRUE(send(kSprayer, next_flow_++));
  }
  bool send(PortId port, std::uint16_t flow) { return joined_->ends[port]->send(udp(port, flow)); }
  void loop() { joined_->pmd->run_once(joined_->now); }
  [[nodiscard]] std::uint64_t dropped(PortId port, DropReason reason) const {
    return joined_->counters(port).dropped(reason);
  }
  void expect_rest() {
    joined_->settle();
    for (const auto& end : joined_->ends) static_cast<void>(end->take());
    EXPECT_EQ(joined_->came(), joined_->went());
    EXPECT_EQ(rte_mempool_avail_count(shared_pool()), free_mbufs_);
  }

  std::unique_ptr<Joined> joined_;
  std::uint16_t next_flow_ = 1;
  unsigned free_mbufs_ = 0;
};

TEST_F(Bounds, a_port_that_sprays_new_flows_does_not_hold_up_anothers) {
  start();
  for (std::uint16_t round = 0; round < 20; ++round) {
    for (int i = 0; i < 40; ++i) {  // twice what the slow path answers in a round
      spray(32);
      loop();
    }
    ASSERT_TRUE(send(kVictim, static_cast<std::uint16_t>(60'000 + round)));
    loop();
    const auto before = joined_->counters(kVictim).rx_packets.get();
    static_cast<void>(joined_->ends[kReceiver]->take());
    joined_->step_slow(SIZE_MAX);
    bool there = false;
    for (int i = 0; i < 20; ++i) {
      loop();
      for (const auto& frame : joined_->ends[kReceiver]->take()) there |= frame[11] == kVictim;
    }
    ASSERT_TRUE(there) << "a new flow of the victim was not decided in the next round";
    ASSERT_EQ(before, round + 1U);
  }
  for (const auto& reason : joined_->counters(kVictim).drops) EXPECT_EQ(reason.get(), 0U);
  EXPECT_GT(dropped(kSprayer, DropReason::flow_table_full), 0U);
  expect_rest();
}

TEST_F(Bounds, with_the_slow_path_stopped_known_flows_go_on_and_new_ones_are_bounded_and_counted) {
  const datapath::PendingLimits limits{.flows_per_port = 512};
  start({.pending = limits});
  ASSERT_TRUE(send(kVictim, 1));
  joined_->settle();
  static_cast<void>(joined_->ends[kReceiver]->take());
  for (int i = 0; i < 100; ++i) {
    spray(32);
    ASSERT_TRUE(send(kVictim, 1));
    loop();
    EXPECT_EQ(joined_->ends[kReceiver]->take().size(), 1U);
  }
  EXPECT_EQ(joined_->pmd->upcalls().size(), limits.flows_per_port);
  EXPECT_EQ(dropped(kSprayer, DropReason::upcall_port_limit), 3200 - limits.flows_per_port);
  joined_->settle();
  EXPECT_EQ(joined_->ends[kReceiver]->take().size(), limits.flows_per_port);
  expect_rest();
}

TEST_F(Bounds, of_one_flow_256_packets_wait_for_one_upcall_and_leave_in_order) {
  start();
  const auto upcalls = joined_->pmd->counters().upcalls.get();
  for (unsigned i = 0; i < 300; ++i) {
    auto frame = udp(kSprayer, 7);
    frame.back() = static_cast<std::uint8_t>(i);
    ASSERT_TRUE(joined_->ends[kSprayer]->send(frame));
    loop();
  }
  EXPECT_EQ(dropped(kSprayer, DropReason::upcall_flow_limit), 300U - datapath::PendingFlows::kPacketsPerFlow);
  EXPECT_EQ(joined_->pmd->upcalls().size(), 1U);
  joined_->settle();
  const auto out = joined_->ends[kReceiver]->take();
  ASSERT_EQ(out.size(), datapath::PendingFlows::kPacketsPerFlow);
  for (unsigned i = 0; i < out.size(); ++i) EXPECT_EQ(out[i].back(), i);
  EXPECT_EQ(joined_->pmd->counters().upcalls.get() - upcalls, 1U);
  expect_rest();
}

TEST_F(Bounds, when_the_table_is_full_the_coldest_flows_go_and_the_busy_one_stays) {
  start({.table = 128});
  ASSERT_TRUE(send(kVictim, 1));
  joined_->settle();
  const auto* const busy = [&]() -> const flowtable::FlowEntry* {
    for (flowtable::EntryId id = 0; id < 128; ++id) {
      const auto& entry = joined_->pmd->table().entry(id);
      if (entry.key.in_port == kVictim && entry.decision != nullptr) return &entry;
    }
    return nullptr;
  }();
  ASSERT_NE(busy, nullptr);
  for (unsigned i = 0; i < 100; ++i) {
    spray(16);
    ASSERT_TRUE(send(kVictim, 1));
    joined_->settle();
    joined_->now += kSecond / 1000;
    static_cast<void>(joined_->ends[kReceiver]->take());
    ASSERT_LE(joined_->pmd->table().size(), 128U);
  }
  EXPECT_EQ(busy->own_packets(), 101U) << "it was removed in between";
  EXPECT_GT(dropped(kSprayer, DropReason::flow_table_full), 0U);
  EXPECT_EQ(dropped(kVictim, DropReason::flow_table_full), 0U);
  expect_rest();
}

TEST_F(Bounds, packets_that_wait_when_their_port_goes_are_counted_and_given_back) {
  start();
  spray(100);
  for (int i = 0; i < 4; ++i) loop();
  EXPECT_LT(rte_mempool_avail_count(shared_pool()), free_mbufs_);
  joined_->unplug(kSprayer);
  joined_->settle();
  EXPECT_EQ(dropped(kSprayer, DropReason::upcall_stopped), 100U);
  EXPECT_TRUE(joined_->ends[kReceiver]->take().empty());
  joined_->settle();
  EXPECT_TRUE(joined_->slow->forgotten(kSprayer));
  expect_rest();
}

TEST_F(Bounds, ports_share_what_is_bounded_and_a_port_that_goes_gives_its_share_back) {
  start({.pending = {.flows = 120, .flows_per_port = 512, .buffers = 4096}});
  for (int i = 0; i < 10; ++i) {
    spray(32);
    loop();
  }
  EXPECT_EQ(joined_->pmd->upcalls().size(), 40U) << "a third of 120";
  joined_->settle();
  static_cast<void>(joined_->ends[kReceiver]->take());
  joined_->unplug(kVictim);
  joined_->settle();
  for (int i = 0; i < 10; ++i) {
    spray(32);
    loop();
  }
  EXPECT_EQ(joined_->pmd->upcalls().size(), 60U) << "half of 120";
  expect_rest();
}

}  // namespace
}  // namespace sluice::test
