// Packed rings alone: whatever a driver does to slots that were taken already, nobody is led out of the ring; and a
// driver that waits hears of what was used in whatever portions it was shown.
#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <random>
#include <vector>

#include "ports/vhost/packed_ring.hpp"
#include "tests/unit/rings/driver.hpp"

namespace sluice::test {
namespace {

using ports::Burst;
using ports::Frame;
using ports::PortCounters;

/// A ring with nothing of anybody's before and behind it.
class PackedBounds : public ::testing::Test {
 protected:
  static constexpr std::uint32_t kApart = 4096;

  /// `size` slots, the next of them `at` in the round of `wrap`.
  PackedDriver& ring_of(std::uint32_t size, std::uint16_t at, std::uint8_t wrap) {
    before = guest.allocate(kApart);
    driver = std::make_unique<PackedDriver>(guest, size);
    behind =
        guest.allocate(kApart) + 64;  // the ring's event words are behind it, and as far as that anything may be ours
    driver->progress.position = {at, at, wrap, wrap, 0};
    return *driver;
  }
  void write(std::uint32_t slot, std::uint16_t flags, std::uint32_t len = 100) {
    const packed::Desc d{buffer, len, static_cast<std::uint16_t>(slot), flags};
    std::memcpy(guest.at(driver->slot_gpa(slot)), &d, sizeof d);
  }
  void expect_inside() {
    const auto& at = driver->progress.position;
    ASSERT_LT(at.next_avail, driver->vring.size);
    ASSERT_LT(at.next_used, driver->vring.size);
    const auto is_zero = [](std::uint8_t byte) { return byte == 0; };
    ASSERT_TRUE(std::all_of(guest.at(before), guest.at(before) + kApart, is_zero)) << "something was written before it";
    ASSERT_TRUE(std::all_of(guest.at(behind), guest.at(behind) + kApart - 64, is_zero))
        << "something was written behind it";
  }
  void receive_and_release() {
    receive(driver->queue, *burst, counters);
    if (burst->borrowed_count != 0) release(driver->queue, *burst);
  }
  void transmit_some(unsigned count, std::uint32_t size) {
    std::vector<Frame> frames(count);
    std::vector<Frame*> all;
    for (Frame& frame : frames) {
      frame.head = head.head();
      frame.head_size = std::min<std::uint32_t>(size, 64);
      frame.size = size;
      rest = {bytes.data(), size - frame.head_size};
      frame.rest = &rest;
      frame.rest_count = rest.size != 0 ? 1 : 0;
      frame.outputs = 1;
      all.push_back(&frame);
    }
    transmit(driver->queue, all, counters);
  }

  Guest guest;
  std::uint64_t buffer = guest.allocate(2048);
  std::uint64_t before = 0;
  std::uint64_t behind = 0;
  std::unique_ptr<PackedDriver> driver;
  std::unique_ptr<Burst> burst = std::make_unique<Burst>();
  PortCounters counters;
  ports::HeadSlot head{};
  std::array<std::uint8_t, 2000> bytes{};
  ports::Segment rest{};
};

TEST_F(PackedBounds, a_chain_that_leads_into_slots_of_the_same_burst_stops_the_queue) {
  ring_of(64, 1, 1).vring.in_order = true;
  for (std::uint32_t i = 0; i < 64; ++i) write(i, i == 63 ? 0 : kDescNext);
  write(0, packed::kUsed | kDescNext);   // available in the next round
  write(1, packed::kAvail | kDescNext);  // in this one: a chain up to the ring's end
  receive_and_release();
  expect_inside();
  EXPECT_TRUE(driver->queue.broken);
  receive_and_release();
  expect_inside();
}

TEST_F(PackedBounds, slots_are_taken_once_though_their_flags_say_otherwise) {
  for (const std::uint32_t size : {1U, 2U, 3U, 7U, 16U, 31U}) {
    ring_of(size, 0, 1);
    PackedRing ring(driver->queue, driver->vring, driver->progress.position);
    for (std::uint32_t i = 0; i < size; ++i) write(i, packed::kAvail);
    unsigned taken = 0;
    Window window;
    ring.take_plain<Direction::from_driver>(ports::kBurstSize, window, [&](const Buffer&) {
      write(taken % size, taken / size % 2 != 0 ? packed::kAvail : packed::kUsed);  // as of the next round
      ++taken;
    });
    EXPECT_EQ(taken, size);
    EXPECT_FALSE(ring.more()) << size;
    ring.give_back(taken);
    const RingPosition all_back = ring.position(0);
    EXPECT_EQ(all_back.next_avail, 0) << size;
    EXPECT_EQ(all_back.avail_wrap, 1) << size;
  }
}

TEST_F(PackedBounds, nothing_leads_out_of_a_ring) {
  std::mt19937 engine(1);
  const auto below = [&](unsigned n) { return std::uniform_int_distribution(0U, n - 1)(engine); };
  const std::array<std::uint16_t, 4> turns{0, packed::kAvail, packed::kUsed, packed::kAvail | packed::kUsed};
  for (unsigned trial = 0; trial < 400; ++trial) {
    const std::uint32_t size = 1 + below(trial % 3 == 0 ? 40 : 600);
    ring_of(size, static_cast<std::uint16_t>(below(size)), static_cast<std::uint8_t>(below(2))).vring.in_order =
        below(2) != 0;
    driver->vring.mergeable = below(2) != 0;
    const unsigned chained = below(100);
    const std::uint16_t direction = below(2) != 0 ? kDescWrite : 0;
    for (unsigned round = 0; round < 8 && !driver->queue.broken; ++round) {
      for (std::uint32_t i = 0; i < size; ++i) {
        const unsigned next = below(100) < chained ? kDescNext : 0;
        write(i, static_cast<std::uint16_t>(turns[below(4)] | next | direction), below(8) != 0 ? 100 : 20);
      }
      if (direction == 0) {
        receive_and_release();
      } else {
        transmit_some(1 + below(ports::kBurstSize), 60 + below(1000));
      }
      expect_inside();
      if (HasFatalFailure()) FAIL() << "trial " << trial << ", round " << round << ", size " << size;
    }
  }
}

/// A driver with a ring of 1024 that receives frames of 64 KB in many buffers each: more than are shown at once.
TEST(PackedInterrupts, a_driver_that_waits_for_the_first_of_many_chains_is_interrupted) {
  Guest guest;
  PackedDriver driver(guest, 1024);
  driver.vring.mergeable = true;
  driver.vring.event_idx = true;
  const int call = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  driver.vring.call_fd = call;
  const auto buffer = guest.allocate(1500);
  while (driver.add({{buffer, 1500, true}})) continue;
  driver.set_driver_event(0x8000U, packed::kEventDesc);  // the ring's first slot

  std::vector<std::uint8_t> bytes(64'000);
  std::array<ports::HeadSlot, 20> heads{};
  std::array<ports::Segment, 20> rests{};
  std::array<Frame, 20> frames{};
  std::vector<Frame*> burst;
  for (std::size_t i = 0; i < frames.size(); ++i) {
    rests[i] = {bytes.data(), static_cast<std::uint32_t>(bytes.size())};
    frames[i].head = heads[i].head();
    frames[i].head_size = 100;
    frames[i].size = 100 + rests[i].size;
    frames[i].rest = &rests[i];
    frames[i].rest_count = 1;
    frames[i].outputs = 1;
    burst.push_back(&frames[i]);
  }
  PortCounters counters;
  transmit(driver.queue, burst, counters);
  EXPECT_EQ(counters.tx_packets.get(), 20U);
  std::uint64_t interrupts = 0;
  EXPECT_EQ(::read(call, &interrupts, sizeof interrupts), static_cast<ssize_t>(sizeof interrupts))
      << "it waits for ever";
  ::close(call);
}

}  // namespace
}  // namespace sluice::test
