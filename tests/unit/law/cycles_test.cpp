// What a PMD says of its time, with a real PMD: which loops are busy, and what a queue's part of it is. Cycles are
// compared with the counter they come from, and with each other; how many they are is not judged.
#include <gtest/gtest.h>
#include <rte_cycles.h>

#include <array>
#include <cstdint>
#include <numeric>

#include "tests/unit/law/frame_of.hpp"
#include "tests/unit/law/joined.hpp"

namespace sluice::test {
namespace {

using flowtable::PortId;

constexpr PortId kPorts = 3;

struct Cycles {
  std::uint64_t busy, idle;
  std::array<std::uint64_t, kPorts> queues;

  Cycles operator-(const Cycles& before) const {
    Cycles result{busy - before.busy, idle - before.idle, {}};
    for (PortId p = 0; p < kPorts; ++p) result.queues[p] = queues[p] - before.queues[p];
    return result;
  }
  [[nodiscard]] std::uint64_t of_queues() const { return std::accumulate(queues.begin(), queues.end(), 0ULL); }
};

class CyclesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    for (PortId port = 0; port < kPorts; ++port) joined_.plug(port);
    joined_.settle();
    send(0);
    joined_.settle();
    loop();
  }
  /// A frame that is flooded, of one flow a port.
  void send(PortId port) {
    flowtable::FlowKey key{};
    key.packet_class = static_cast<std::uint8_t>(flowtable::PacketClass::other);
    key.dl_src = {{2, 0, 0, 0, 0, static_cast<std::uint8_t>(port)}};
    key.dl_dst = {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};
    key.ethertype_be = 0xb588;
    ASSERT_TRUE(joined_.ends[port]->send(frame_of(key, 46)));
  }
  bool loop() {
    const bool worked = joined_.pmd->run_once(joined_.now);
    for (const auto& end : joined_.ends) static_cast<void>(end->take());
    return worked;
  }
  [[nodiscard]] Cycles cycles() const {
    const auto& pmd = joined_.pmd->counters();
    Cycles now{pmd.busy_cycles.get(), pmd.idle_cycles.get(), {}};
    for (PortId p = 0; p < kPorts; ++p) now.queues[p] = joined_.queue_counters(p).busy_cycles.get();
    return now;
  }
  static void let_pass(std::uint64_t cycles) {
    for (const std::uint64_t start = rte_rdtsc(); rte_rdtsc() - start < cycles;) {
    }
  }

  Joined joined_{{}};
};

TEST_F(CyclesTest, loops_that_received_nothing_are_idle_and_no_queues) {
  ASSERT_FALSE(loop());
  const Cycles before = cycles();
  for (int i = 0; i < 100; ++i) ASSERT_FALSE(loop());
  const Cycles passed = cycles() - before;
  EXPECT_EQ(passed.busy, 0U);
  EXPECT_GT(passed.idle, 0U);
  EXPECT_EQ(passed.of_queues(), 0U);
}

TEST_F(CyclesTest, a_loop_with_packets_is_busy_and_of_the_queue_that_had_them) {
  for (PortId port = 0; port < kPorts; ++port) {
    send(port);
    joined_.settle();  // now the flow is there
    ASSERT_FALSE(loop());
    const Cycles before = cycles();
    send(port);
    ASSERT_TRUE(loop());
    const Cycles passed = cycles() - before;
    EXPECT_GT(passed.busy, 0U);
    EXPECT_GT(passed.queues[port], 0U);
    EXPECT_EQ(passed.of_queues(), passed.queues[port]);
    EXPECT_LE(passed.of_queues(), passed.busy);
  }
}

TEST_F(CyclesTest, queues_with_packets_in_the_same_loop_share_its_cycles) {
  for (PortId port = 0; port < kPorts; ++port) send(port);
  joined_.settle();
  for (int i = 0; i < 20; ++i) {
    ASSERT_FALSE(loop());
    // What passes until the next loop belongs to this idle one: what is busy is the loop alone.
    for (PortId port = 0; port < kPorts; ++port) {
      for (int n = 0; n < 30; ++n) send(port);
    }
    const Cycles before = cycles();
    ASSERT_TRUE(loop());
    const Cycles passed = cycles() - before;
    for (PortId port = 0; port < kPorts; ++port) EXPECT_GT(passed.queues[port], 0U);
    EXPECT_LE(passed.of_queues(), passed.busy);
  }
}

TEST_F(CyclesTest, a_loop_with_nothing_but_a_command_is_busy_and_no_queues) {
  for (PortId port = 1; port < kPorts; ++port) {
    send(port);
    ASSERT_TRUE(loop());
    ASSERT_TRUE(joined_.step_slow(SIZE_MAX));
    const Cycles before = cycles();
    ASSERT_TRUE(loop()) << "the flow is installed";
    const Cycles passed = cycles() - before;
    EXPECT_GT(passed.busy, 0U);
    EXPECT_EQ(passed.of_queues(), 0U);
  }
}

TEST_F(CyclesTest, what_passes_between_two_loops_is_the_firsts) {
  constexpr std::uint64_t kPause = 100'000;
  send(0);
  ASSERT_TRUE(loop());
  Cycles before = cycles();
  let_pass(kPause);
  ASSERT_FALSE(loop());
  EXPECT_GE((cycles() - before).busy, kPause);
  EXPECT_EQ((cycles() - before).of_queues(), 0U);

  before = cycles();
  let_pass(kPause);
  send(0);
  ASSERT_TRUE(loop());
  EXPECT_GE((cycles() - before).idle, kPause);
}

TEST_F(CyclesTest, busy_and_idle_cycles_are_all_that_passed) {
  const std::uint64_t start = rte_rdtsc();
  ASSERT_FALSE(loop());
  const std::uint64_t started = rte_rdtsc();
  const Cycles before = cycles();
  for (int i = 0; i < 100; ++i) {
    if (i % 3 == 0) send(static_cast<PortId>(i % kPorts));
    loop();
    joined_.step_slow(SIZE_MAX);
  }
  const std::uint64_t last = rte_rdtsc();
  loop();
  const std::uint64_t end = rte_rdtsc();
  const Cycles passed = cycles() - before;
  EXPECT_GE(passed.busy + passed.idle, last - started);
  EXPECT_LE(passed.busy + passed.idle, end - start);
}

}  // namespace
}  // namespace sluice::test
