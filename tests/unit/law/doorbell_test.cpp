// The doorbell by which PMDs wake the slow path.
#include "datapath/doorbell.hpp"

#include <gtest/gtest.h>

#include <thread>

#include "tests/unit/law/frame_of.hpp"
#include "tests/unit/law/joined.hpp"

namespace sluice::test {
namespace {

using datapath::Doorbell;
using std::chrono::minutes;

TEST(Doorbell, no_ring_is_lost_however_it_meets_the_wait) {
  // Who waits has one more thing to see each time, and would wait for minutes for one whose ring is lost.
  constexpr unsigned kRings = 20'000;
  Doorbell there;
  Doorbell back;
  std::atomic<unsigned> rung = 0;
  std::atomic<unsigned> seen = 0;
  const auto wait_for = [](Doorbell& doorbell, const std::atomic<unsigned>& count, unsigned wanted) {
    while (count.load() < wanted) {
      doorbell.about_to_wait();
      doorbell.wait(count.load() < wanted ? minutes(5) : minutes(0));
    }
  };
  std::thread waiter([&] {
    for (unsigned i = 1; i <= kRings; ++i) {
      wait_for(there, rung, i);
      seen.store(i, std::memory_order_relaxed);
      back.ring();
    }
  });
  for (unsigned i = 1; i <= kRings; ++i) {
    rung.store(i, std::memory_order_relaxed);
    there.ring();
    if (i % 3 == 0) wait_for(back, seen, i);  // else both are under way
  }
  waiter.join();
  EXPECT_EQ(seen, kRings);
}

TEST(Doorbell, a_wait_ends_by_itself) {
  Doorbell doorbell;
  doorbell.about_to_wait();
  doorbell.wait(std::chrono::milliseconds(1));
  EXPECT_FALSE(doorbell.waits());
}

TEST(Doorbell, a_pmd_rings_for_upcalls_and_for_nothing_else) {
  Doorbell doorbell;
  Joined joined({.doorbell = &doorbell});
  joined.plug(0);
  joined.plug(1);
  joined.settle();
  flowtable::FlowKey key{};
  key.packet_class = static_cast<std::uint8_t>(flowtable::PacketClass::ipv4_udp);
  key.dl_src = {{2, 0, 0, 0, 0, 1}};
  key.dl_dst = {{2, 0, 0, 0, 0, 2}};
  key.ethertype_be = 8;
  key.nw_proto = 17;
  const auto rings = [&] {
    doorbell.about_to_wait();
    joined.pmd->run_once(joined.now);
    const bool rung = !doorbell.waits();
    doorbell.wait({});
    return rung;
  };
  EXPECT_FALSE(rings()) << "without a packet";
  ASSERT_TRUE(joined.ends[0]->send(frame_of(key, 20)));
  EXPECT_TRUE(rings()) << "with the first of a flow";
  EXPECT_FALSE(rings()) << "again";
  joined.settle();
  ASSERT_TRUE(joined.ends[0]->send(frame_of(key, 20)));
  EXPECT_FALSE(rings()) << "with one of a flow that is known";
}

}  // namespace
}  // namespace sluice::test
