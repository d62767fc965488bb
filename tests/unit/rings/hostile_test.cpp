// A hostile driver: nothing it writes into its rings does more than cost it its own packets.
#include <gtest/gtest.h>

#include <memory>

#include "tests/unit/rings/driver.hpp"

namespace sluice::test {
namespace {

using ports::Burst;
using ports::DropReason;
using ports::Frame;
using ports::PortCounters;

template <typename Driver>
class HostileTx : public ::testing::Test {
 protected:
  /// Receives and releases until the ring is empty; the frames' count.
  unsigned drain() {
    unsigned frames = 0;
    for (int i = 0; i < 100; ++i) {
      receive(driver.queue, *burst, counters);
      frames += burst->count;
      if (burst->borrowed_count == 0) return frames;  // then a PMD does not release either
      release(driver.queue, *burst);
    }
    ADD_FAILURE() << "the ring does not end";
    return frames;
  }
  /// A proper frame, which must pass whatever came before it.
  void expect_that_the_ring_goes_on() {
    ASSERT_TRUE(driver.add({{guest.allocate(100), 100}}));
    EXPECT_EQ(drain(), 1U);
  }
  void expect_dropped(DropReason reason, unsigned n = 1) {
    const auto before = counters.dropped(reason);
    const auto errors = driver.queue.guest_errors.get();
    EXPECT_EQ(drain(), 0U);
    EXPECT_EQ(counters.dropped(reason), before + n);
    EXPECT_EQ(driver.queue.guest_errors.get(), errors + n);
    EXPECT_TRUE(driver.used()) << "the chain was not given back";
    expect_that_the_ring_goes_on();
  }

  Guest guest;
  Driver driver{guest, 64};
  std::unique_ptr<Burst> burst = std::make_unique<Burst>();
  PortCounters counters;
};
using Drivers = ::testing::Types<SplitDriver, PackedDriver>;
TYPED_TEST_SUITE(HostileTx, Drivers);

TYPED_TEST(HostileTx, address_outside_of_memory_is_dropped) {
  this->driver.add({{0x1000, 100}});
  this->expect_dropped(DropReason::rx_bad_descriptor);
  this->driver.add({{this->guest.allocate(20), 20}, {~0ULL - 10, 100}});
  this->expect_dropped(DropReason::rx_bad_descriptor);
}

TYPED_TEST(HostileTx, buffer_across_two_regions_is_dropped) {
  this->driver.add({{Guest::kSecondBase - 50, 100}});
  this->expect_dropped(DropReason::rx_bad_descriptor);
}

TYPED_TEST(HostileTx, buffer_past_the_end_of_memory_is_dropped) {
  this->driver.add({{Guest::kSecondBase + Guest::kSecondSize - 50, 100}});
  this->expect_dropped(DropReason::rx_bad_descriptor);
  this->driver.add({{Guest::kSecondBase, 0xffffffffU}});
  this->expect_dropped(DropReason::rx_chain_too_long);
}

TYPED_TEST(HostileTx, empty_descriptor_is_dropped) {
  this->driver.add({{this->guest.allocate(100), 0}});
  this->expect_dropped(DropReason::rx_bad_descriptor);
  this->driver.add({{this->guest.allocate(100), 100}, {this->guest.allocate(100), 0}});
  this->expect_dropped(DropReason::rx_bad_descriptor);
}

TYPED_TEST(HostileTx, writable_descriptor_in_a_transmit_chain_is_dropped) {
  this->driver.add({{this->guest.allocate(100), 100, true}});
  this->expect_dropped(DropReason::rx_bad_descriptor);
}

TYPED_TEST(HostileTx, header_spread_over_many_descriptors_is_a_frame) {
  const std::uint64_t at = this->guest.allocate(72, 1);
  for (unsigned i = 0; i < 72; ++i) this->guest.at(at)[i] = static_cast<std::uint8_t>(i < 12 ? 0 : i);
  std::vector<Buf> bytes;
  for (unsigned i = 0; i < 40; ++i) bytes.push_back({at + i, 1});
  bytes.push_back({at + 40, 32});
  this->driver.add(bytes);
  receive(this->driver.queue, *this->burst, this->counters);
  ASSERT_EQ(this->burst->count, 1U);
  const Frame& frame = this->burst->frames[0];
  ASSERT_EQ(frame.head_size, 60U);
  for (unsigned i = 0; i < 60; ++i) EXPECT_EQ(frame.head[i], i + 12);
  release(this->driver.queue, *this->burst);
}

TYPED_TEST(HostileTx, frame_of_the_header_alone_is_dropped) {
  this->driver.add({{this->guest.allocate(12), 12}});
  EXPECT_EQ(this->drain(), 0U);
  EXPECT_EQ(this->counters.dropped(DropReason::rx_bad_descriptor), 1U);
  this->expect_that_the_ring_goes_on();
}

TYPED_TEST(HostileTx, more_pieces_than_a_frame_may_have_are_dropped) {
  const std::uint64_t at = this->guest.allocate(400);
  this->driver.add(std::vector<Buf>(300, Buf{at, 1}), true);
  this->expect_dropped(DropReason::rx_chain_too_long);
}

TYPED_TEST(HostileTx, frames_of_as_many_pieces_as_allowed_all_pass_though_a_burst_cannot_hold_them) {
  const std::uint64_t at = this->guest.allocate(400);
  for (int i = 0; i < 10; ++i) this->driver.add(std::vector<Buf>(256, Buf{at, 1}), true);
  EXPECT_EQ(this->drain(), 10U);
  EXPECT_EQ(this->counters.rx_packets.get(), 10U);
}

TYPED_TEST(HostileTx, frame_longer_than_any_may_be_is_dropped) {
  const std::uint64_t at = this->guest.allocate(70000);
  this->driver.add({{at, 70000}});
  EXPECT_EQ(this->drain(), 0U);
  EXPECT_EQ(this->counters.dropped(DropReason::rx_too_long), 1U);
  this->expect_that_the_ring_goes_on();
}

TYPED_TEST(HostileTx, indirect_table_outside_of_memory_is_dropped) {
  if constexpr (std::is_same_v<TypeParam, SplitDriver>) {
    this->driver.add({{this->guest.allocate(64), 64}});
    this->driver.write_desc(this->driver.desc_gpa(0), 0x1000, 32, kDescIndirect, 0);
  } else {
    const std::uint32_t slot = this->driver.next_slot();
    this->driver.add({{this->guest.allocate(64), 64}}, true);
    const std::uint64_t bad = 0x1000;
    std::memcpy(this->guest.at(this->driver.slot_gpa(slot)), &bad, 8);
  }
  this->expect_dropped(DropReason::rx_bad_descriptor);
}

TYPED_TEST(HostileTx, indirect_inside_indirect_is_dropped) {
  const std::uint64_t table = this->guest.allocate(32, 16);
  split::Desc inner{this->guest.allocate(64), 64, 0, 0};
  if (this->driver.vring.packed) {
    const packed::Desc p{table, 16, 0, kDescIndirect};
    std::memcpy(this->guest.at(table), &p, 16);
  } else {
    inner.flags = kDescIndirect;
    std::memcpy(this->guest.at(table), &inner, 16);
  }
  if constexpr (std::is_same_v<TypeParam, SplitDriver>) {
    this->driver.add({{this->guest.allocate(64), 64}});
    this->driver.write_desc(this->driver.desc_gpa(0), table, 16, kDescIndirect, 0);
  } else {
    const std::uint32_t slot = this->driver.next_slot();
    this->driver.add({{this->guest.allocate(64), 64}}, true);
    std::memcpy(this->guest.at(this->driver.slot_gpa(slot)), &table, 8);
  }
  this->expect_dropped(DropReason::rx_bad_descriptor);
}

TYPED_TEST(HostileTx, indirect_that_was_not_negotiated_is_dropped) {
  this->driver.vring.indirect = false;
  this->driver.add({{this->guest.allocate(64), 64}}, true);
  this->expect_dropped(DropReason::rx_bad_descriptor);
}

class HostileSplit : public HostileTx<SplitDriver> {};

TEST_F(HostileSplit, looped_chain_is_dropped) {
  driver.add({{guest.allocate(10), 10}, {guest.allocate(10), 10}, {guest.allocate(10), 10}});
  driver.write_desc(driver.desc_gpa(2), guest.allocate(10), 10, kDescNext, 0);
  expect_dropped(DropReason::rx_bad_descriptor);
}

TEST_F(HostileSplit, chain_that_leaves_its_table_is_dropped) {
  driver.add({{guest.allocate(10), 10}, {guest.allocate(10), 10}});
  driver.write_desc(driver.desc_gpa(0), guest.allocate(10), 10, kDescNext, 64);
  expect_dropped(DropReason::rx_bad_descriptor);
}

TEST_F(HostileSplit, head_that_does_not_exist_is_counted_and_the_ring_goes_on) {
  driver.push_avail(64);
  driver.push_avail(0xffff);
  EXPECT_EQ(drain(), 0U);
  EXPECT_EQ(counters.dropped(DropReason::rx_bad_descriptor), 2U);
  expect_that_the_ring_goes_on();
  EXPECT_EQ(counters.dropped(DropReason::rx_bad_descriptor), 2U) << "counted once each";
}

TEST_F(HostileSplit, avail_index_jumped_by_more_than_the_ring_stops_the_queue) {
  driver.add({{guest.allocate(64), 64}});
  driver.set_avail_idx(65);
  EXPECT_EQ(drain(), 0U);
  EXPECT_TRUE(driver.queue.broken);
  EXPECT_EQ(driver.queue.guest_errors.get(), 1U);
}

TEST_F(HostileSplit, misaligned_or_odd_sized_indirect_table_is_dropped) {
  driver.add({{guest.allocate(64), 64}});
  driver.write_desc(driver.desc_gpa(0), guest.allocate(64) + 4, 16, kDescIndirect, 0);
  expect_dropped(DropReason::rx_bad_descriptor);
}

class HostilePacked : public HostileTx<PackedDriver> {};

TEST_F(HostilePacked, chain_without_an_end_stops_the_queue) {
  for (unsigned i = 0; i < 64; ++i) {
    const packed::Desc d{guest.allocate(10), 10, 0, packed::kAvail | kDescNext};
    std::memcpy(guest.at(driver.slot_gpa(i)), &d, sizeof d);
  }
  EXPECT_EQ(drain(), 0U);
  EXPECT_TRUE(driver.queue.broken);
}

// As DPDK's driver has it (virtqueue_enqueue_xmit_packed); librte_vhost does not look at these flags either.
TEST_F(HostilePacked, writable_marks_in_the_indirect_table_of_a_frame_mean_nothing) {
  const std::uint64_t header = guest.allocate(12);
  const std::uint64_t one = guest.allocate(40, 1);
  const std::uint64_t two = guest.allocate(60, 1);
  std::memset(guest.at(one), 1, 40);
  std::memset(guest.at(two), 2, 60);
  for (unsigned marked = 0; marked < 8; ++marked) {
    driver.add({{header, 12, (marked & 1U) != 0}, {one, 40, (marked & 2U) != 0}, {two, 60, (marked & 4U) != 0}}, true);
    receive(driver.queue, *burst, counters);
    ASSERT_EQ(burst->count, 1U) << marked;
    const Frame& frame = burst->frames[0];
    ASSERT_EQ(frame.size, 100U);
    ASSERT_EQ(frame.head_size, 100U);
    for (unsigned i = 0; i < 100; ++i) ASSERT_EQ(frame.head[i], i < 40 ? 1 : 2);
    release(driver.queue, *burst);
    ASSERT_EQ(driver.used()->len, 0U);
  }
  EXPECT_EQ(driver.queue.guest_errors.get(), 0U);
}

// What a guest may ask to be done with a frame.
class HostileOffload : public ::testing::Test {
 protected:
  DropReason kBad = DropReason::rx_bad_offload;
  bool accepted(const NetHeader& header, std::uint32_t frame_size = 1000) {
    const std::uint64_t at = guest.allocate(12 + frame_size);
    std::memcpy(guest.at(at), &header, sizeof header);
    driver.add({{at, 12 + frame_size}});
    receive(driver.queue, *burst, counters);
    const bool yes = burst->count == 1;
    if (yes) offload = burst->frames[0].offload;
    release(driver.queue, *burst);
    driver.used();
    return yes;
  }
  void SetUp() override { driver.vring.tx_csum = driver.vring.tx_tso4 = true; }

  Guest guest;
  SplitDriver driver{guest, 64};
  std::unique_ptr<Burst> burst = std::make_unique<Burst>();
  PortCounters counters;
  ports::Offload offload;
};

TEST_F(HostileOffload, checksum_beyond_the_frame_is_dropped) {
  EXPECT_TRUE(accepted({1, 0, 0, 0, 34, 16, 0}));
  EXPECT_TRUE(accepted({1, 0, 0, 0, 34, 964, 0}));
  EXPECT_FALSE(accepted({1, 0, 0, 0, 34, 965, 0}));
  EXPECT_FALSE(accepted({1, 0, 0, 0, 65535, 65535, 0}));
  EXPECT_FALSE(accepted({1, 0, 0, 0, 13, 16, 0})) << "inside the Ethernet header";
}

TEST_F(HostileOffload, segmentation_without_size_or_checksum_is_dropped) {
  EXPECT_TRUE(accepted({1, 1, 54, 1448, 34, 16, 0}));
  EXPECT_FALSE(accepted({1, 1, 54, 0, 34, 16, 0}));
  EXPECT_FALSE(accepted({1, 1, 54, 47, 34, 16, 0}));
  EXPECT_FALSE(accepted({0, 1, 54, 1448, 34, 16, 0}));
  EXPECT_FALSE(accepted({1, 1, 54, 1448, 990, 2, 0})) << "no room for a TCP header";
}

TEST_F(HostileOffload, segmentation_that_was_not_negotiated_is_dropped) {
  EXPECT_FALSE(accepted({1, 4, 54, 1448, 54, 16, 0})) << "TSO6";
  EXPECT_FALSE(accepted({1, 3, 54, 1448, 34, 6, 0})) << "UFO";
  EXPECT_FALSE(accepted({1, 0x81, 54, 1448, 34, 16, 0})) << "ECN";
}

TEST_F(HostileOffload, header_is_ignored_where_nothing_was_negotiated) {
  driver.vring.tx_csum = driver.vring.tx_tso4 = false;
  EXPECT_TRUE(accepted({1, 1, 54, 0, 65535, 65535, 0}));
  EXPECT_FALSE(offload.any());
}

TEST_F(HostileOffload, a_guest_cannot_vouch_for_a_checksum) {
  EXPECT_TRUE(accepted({2, 0, 0, 0, 0, 0, 0}));
  EXPECT_FALSE(offload.any());
}

TEST(HostileLargePacked, chain_of_a_whole_large_ring_is_not_searched_for_its_end) {
  Guest guest;
  PackedDriver driver(guest, 32768);
  const auto burst = std::make_unique<Burst>();
  PortCounters counters;
  driver.add(std::vector<Buf>(1024, Buf{guest.allocate(64), 1}));
  driver.add(std::vector<Buf>(1025, Buf{guest.allocate(64), 1}));
  receive(driver.queue, *burst, counters);
  EXPECT_EQ(counters.dropped(DropReason::rx_chain_too_long), 1U) << "the first chain is too long, and has an end";
  EXPECT_TRUE(driver.queue.broken) << "the second is longer than any that is looked at";
  release(driver.queue, *burst);
}

// The receive side of a hostile guest: its own frames are lost, counted at its port.
template <typename Driver>
class HostileRx : public ::testing::Test {
 protected:
  void send(std::uint32_t size = 60) {
    frame = Frame{};
    frame.head = slot.head();
    frame.head_size = frame.size = size;
    frame.outputs = 1;
    Frame* frames[] = {&frame};
    transmit(driver.queue, frames, counters);
    EXPECT_EQ(frame.outputs, 0);
  }
  Guest guest;
  Driver driver{guest, 64};
  ports::HeadSlot slot{};
  Frame frame{};
  PortCounters counters;
};
TYPED_TEST_SUITE(HostileRx, Drivers);

TYPED_TEST(HostileRx, malformed_buffers_are_given_back_and_cost_one_frame_each) {
  this->driver.add({{0x1000, 2000, true}});
  this->driver.add({{this->guest.allocate(2000), 2000, false}});
  this->driver.add({{Guest::kSecondBase - 50, 2000, true}});
  this->driver.add({{this->guest.allocate(2000), 2000, true}});
  for (int i = 0; i < 4; ++i) this->send();
  EXPECT_EQ(this->counters.dropped(DropReason::tx_bad_descriptor), 3U);
  EXPECT_EQ(this->counters.tx_packets.get(), 1U);
  for (int i = 0; i < 3; ++i) {
    const auto used = this->driver.used();
    ASSERT_TRUE(used);
    EXPECT_EQ(used->len, 0U);
  }
  EXPECT_EQ(this->driver.used()->len, 72U);
}

TYPED_TEST(HostileRx, indirect_table_with_a_part_that_is_not_to_be_written_is_not_written) {
  const std::uint64_t at = this->guest.allocate(2000);
  this->driver.add({{at, 1000, true}, {at + 1000, 1000, false}}, true);
  this->send();
  EXPECT_EQ(this->counters.dropped(DropReason::tx_bad_descriptor), 1U);
  EXPECT_EQ(this->driver.used()->len, 0U);
}

TYPED_TEST(HostileRx, buffer_too_small_drops_the_frame_and_keeps_the_buffer) {
  this->driver.add({{this->guest.allocate(71), 71, true}});
  this->send(60);
  EXPECT_EQ(this->counters.dropped(DropReason::tx_buffer_too_small), 1U);
  this->send(59);
  EXPECT_EQ(this->counters.tx_packets.get(), 1U);
}

TYPED_TEST(HostileRx, mergeable_frame_waits_for_no_buffer_and_uses_none_if_they_are_too_few) {
  this->driver.vring.mergeable = true;
  this->driver.add({{this->guest.allocate(40), 40, true}});
  this->send(60);
  EXPECT_EQ(this->counters.dropped(DropReason::tx_ring_full), 1U);
  EXPECT_FALSE(this->driver.used());
  this->driver.add({{this->guest.allocate(40), 40, true}});
  this->send(60);
  EXPECT_EQ(this->counters.tx_packets.get(), 1U);
}

TYPED_TEST(HostileRx, offloads_that_the_guest_of_now_does_not_take_are_dropped) {
  const auto send = [this](std::uint8_t flags, std::uint8_t gso_type) {
    this->driver.add({{this->guest.allocate(2000), 2000, true}});
    this->frame = Frame{};
    this->frame.head = this->slot.head();
    this->frame.head_size = this->frame.size = 60;
    this->frame.outputs = 1;
    this->frame.offload.flags = flags;
    this->frame.offload.gso_type = gso_type;
    Frame* frames[] = {&this->frame};
    const auto before = this->counters.tx_packets.get();
    transmit(this->driver.queue, frames, this->counters);
    EXPECT_EQ(this->frame.outputs, 0);
    return this->counters.tx_packets.get() != before;
  };
  using ports::Offload;
  EXPECT_FALSE(send(Offload::kNeedsCsum, Offload::kGsoNone));
  EXPECT_TRUE(send(Offload::kDataValid, Offload::kGsoNone));
  this->driver.vring.rx_csum = true;
  EXPECT_TRUE(send(Offload::kNeedsCsum, Offload::kGsoNone));
  EXPECT_FALSE(send(Offload::kNeedsCsum, Offload::kGsoTcpV4));
  EXPECT_FALSE(send(Offload::kNeedsCsum, Offload::kGsoTcpV6));
  this->driver.vring.rx_tso6 = true;
  EXPECT_TRUE(send(Offload::kNeedsCsum, Offload::kGsoTcpV6));
  EXPECT_FALSE(send(Offload::kNeedsCsum, Offload::kGsoTcpV4));
  EXPECT_EQ(this->counters.dropped(DropReason::tx_offload), 4U);
}

TYPED_TEST(HostileRx, frames_to_a_ring_that_is_not_there_are_counted) {
  this->driver.queue.vring.store(nullptr);
  this->send();
  EXPECT_EQ(this->counters.dropped(DropReason::tx_not_connected), 1U);
}

}  // namespace
}  // namespace sluice::test
