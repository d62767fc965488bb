// Egress: which queue, how many, and what does not fit is counted.
#include <gtest/gtest.h>

#include <map>
#include <random>

#include <rte_mempool.h>

#include "tests/unit/execute/world.hpp"

namespace sluice {
namespace {

using ports::DropReason;
using test::Bytes;
using test::GuestFrame;
using test::output;
using test::World;

TEST(Egress, a_frame_longer_than_the_port_takes_is_dropped_there) {
  World world(2);
  world.view.tx[1].max_frame = 100;
  for (const std::size_t size : {100U, 101U}) {
    GuestFrame frame(Bytes(size, 1));
    world.run(frame.frame(), {output(1)});
    world.egress.flush();
  }
  EXPECT_EQ(world.received(1).size(), 1U);
  EXPECT_EQ(world.counters[1]->dropped(DropReason::tx_mtu), 1U);
  EXPECT_EQ(world.came(), world.went());
}

TEST(Egress, a_flow_stays_on_one_queue_and_in_order_and_all_queues_are_used) {
  constexpr unsigned kQueues = 3;
  World world(1, kQueues);
  std::mt19937 random(8);
  std::vector<std::uint32_t> hashes(50);
  for (auto& hash : hashes) hash = static_cast<std::uint32_t>(random());
  std::vector<GuestFrame> frames;
  std::vector<std::uint8_t> flows;
  for (unsigned i = 0; i < 1000; ++i) {
    const auto flow = static_cast<std::uint8_t>(random() % hashes.size());
    flows.push_back(flow);
    Bytes bytes(60, 0);
    bytes[20] = flow;
    bytes[21] = static_cast<std::uint8_t>(i >> 8U);
    bytes[22] = static_cast<std::uint8_t>(i);
    frames.emplace_back(bytes);
  }
  for (unsigned i = 0; i < frames.size(); ++i) world.run(frames[i].frame(), {output(0)}, hashes[flows[i]]);
  world.egress.flush();
  std::map<std::uint8_t, unsigned> queue_of;
  std::map<std::uint8_t, unsigned> last;
  std::size_t total = 0;
  for (unsigned queue = 0; queue < kQueues; ++queue) {
    const auto received = world.received(0, queue);
    EXPECT_FALSE(received.empty());
    total += received.size();
    for (const Bytes& bytes : received) {
      const auto [it, first] = queue_of.try_emplace(bytes[20], queue);
      EXPECT_EQ(it->second, queue);
      const unsigned number = bytes[21] * 256U + bytes[22];
      EXPECT_TRUE(first || number > last[bytes[20]]);
      last[bytes[20]] = number;
    }
  }
  EXPECT_EQ(total, frames.size());
}

TEST(Egress, what_a_full_ring_does_not_take_is_counted_there) {
  World world(2);
  std::vector<GuestFrame> frames;
  for (unsigned i = 0; i < 1100; ++i) frames.emplace_back(Bytes(60, 1));
  const unsigned free_before = rte_mempool_avail_count(test::shared_pool());
  for (auto& frame : frames) world.run(frame.frame(), {output(1)});
  world.egress.flush();
  const std::size_t received = world.received(1).size();
  EXPECT_LT(received, frames.size());
  EXPECT_EQ(world.counters[1]->dropped(DropReason::tx_ring_full), frames.size() - received);
  EXPECT_EQ(world.counters[1]->tx_bytes.get(), 60 * received);
  EXPECT_EQ(world.came(), world.went());
  EXPECT_EQ(rte_mempool_avail_count(test::shared_pool()), free_before);
}

TEST(Egress, segments_add_up_when_the_ring_takes_only_some_of_them) {
  World world(1);
  Bytes bytes = {2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0, 0x45, 0, 0,
                 0, 0, 0, 0, 0, 9, 6, 0, 0, 1, 2, 3, 4, 5, 6,    7, 8};
  bytes.resize(34 + 20 + 20000);
  bytes[16] = (20 + 20 + 20000) >> 8;
  bytes[17] = (20 + 20 + 20000) & 0xff;
  bytes[46] = 0x50;
  for (unsigned i = 0; i < 5; ++i) {
    GuestFrame frame(bytes, {.flags = ports::Offload::kNeedsCsum,
                             .gso_type = ports::Offload::kGsoTcpV4,
                             .gso_size = 80,
                             .csum_start = 34,
                             .csum_offset = 16});
    world.run(frame.frame(), {output(0)});
    world.egress.flush();
  }
  EXPECT_EQ(world.counters[0]->segments.get(), 5 * 249U);
  EXPECT_EQ(world.counters[0]->tx_packets.get() + world.counters[0]->dropped(DropReason::tx_ring_full), 5 * 250U);
  EXPECT_GT(world.counters[0]->dropped(DropReason::tx_ring_full), 0U);
  EXPECT_EQ(world.came(), world.went());
}

}  // namespace
}  // namespace sluice
