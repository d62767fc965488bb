// Laws of execute, over random frames and action lists.
#include <gtest/gtest.h>

#include <random>

#include <rte_mempool.h>

#include "tests/unit/execute/world.hpp"

namespace sluice {
namespace {

using flowtable::Action;
using flowtable::ActionKind;
using ports::DropReason;
using test::action;
using test::Bytes;
using test::GuestFrame;
using test::output;
using test::World;

constexpr unsigned kPorts = 4;

/// Untagged or tagged, IPv4 or IPv6, TCP or UDP, of any length; the checksums are whatever they are.
Bytes random_frame(std::mt19937& random) {
  Bytes bytes{2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1};
  if (random() % 2 == 0) bytes.insert(bytes.end(), {0x81, 0x00, 0x20, static_cast<std::uint8_t>(random())});
  const bool ipv6 = random() % 2 == 0;
  const bool tcp = random() % 2 == 0;
  const auto payload = static_cast<std::uint16_t>(random() % 1200);
  const auto l4_size = static_cast<std::uint16_t>(payload + (tcp ? 20 : 8));
  const auto high = [](unsigned value) { return static_cast<std::uint8_t>(value >> 8U); };
  const auto low = [](unsigned value) { return static_cast<std::uint8_t>(value); };
  const std::uint8_t protocol = tcp ? 6 : 17;
  if (ipv6) {
    bytes.insert(bytes.end(), {0x86, 0xdd, 0x60, 0, 0, 0, high(l4_size), low(l4_size), protocol, 64});
    for (int i = 0; i < 32; ++i) bytes.push_back(low(static_cast<unsigned>(random())));
  } else {
    bytes.insert(bytes.end(), {0x08, 0x00, 0x45, 0, high(l4_size + 20U), low(l4_size + 20U), 0, 1, 0, 0, 64, protocol});
    for (int i = 0; i < 10; ++i) bytes.push_back(low(static_cast<unsigned>(random())));
  }
  bytes.insert(bytes.end(), {high(1000), low(1000), 0, 53});
  for (int i = 4; i < l4_size; ++i) bytes.push_back(low(static_cast<unsigned>(random())));
  return bytes;
}

Action random_change(std::mt19937& random) {
  const auto kind = static_cast<ActionKind>(2 + random() % 14);  // what is neither output nor drop
  Action change = action(kind, static_cast<std::uint16_t>(random()));
  for (std::uint8_t& byte : change.bytes) byte = static_cast<std::uint8_t>(random());
  if (kind == ActionKind::push_vlan) change.bytes = {0x88, 0xa8};
  return change;
}

std::vector<Action> random_list(std::mt19937& random) {
  std::vector<Action> list;
  const unsigned length = 1 + static_cast<unsigned>(random() % 9);
  for (unsigned i = 0; i < length; ++i) {
    if (random() % 2 == 0) {
      list.push_back(output(static_cast<flowtable::PortId>(random() % (kPorts + 1))));
    } else {
      list.push_back(random_change(random));
    }
  }
  return list;
}

/// The list with its n-th output as the only one, and what is before that.
std::vector<Action> up_to_output(const std::vector<Action>& list, unsigned n) {
  std::vector<Action> shorter;
  for (const Action& one : list) {
    if (one.kind != ActionKind::output) {
      shorter.push_back(one);
    } else if (n-- == 0) {
      shorter.push_back(output(0));
      break;
    }
  }
  return shorter;
}

TEST(Execute, each_of_many_outputs_is_the_frame_as_it_was_at_that_point) {
  std::mt19937 random(1);
  for (int burst = 0; burst < 60; ++burst) {
    World world(kPorts);
    World alone(1);
    std::vector<GuestFrame> frames;
    std::vector<std::vector<Action>> lists;
    std::map<flowtable::PortId, std::vector<Bytes>> expected;
    std::vector<Bytes> originals;
    for (unsigned i = 0; i < ports::kBurstSize; ++i) {
      originals.push_back(random_frame(random));
      frames.emplace_back(originals.back(), ports::Offload{}, 8 + random() % 500);
      lists.push_back(random_list(random));
      unsigned n = 0;
      for (const Action& one : lists.back()) {
        if (one.kind != ActionKind::output) continue;
        GuestFrame again(originals.back());
        alone.run(again.frame(), up_to_output(lists.back(), n++));
        alone.egress.flush();
        for (Bytes& bytes : alone.received(0)) expected[one.value].push_back(std::move(bytes));
      }
    }
    for (unsigned i = 0; i < frames.size(); ++i) world.run(frames[i].frame(), lists[i]);
    world.egress.flush();

    EXPECT_EQ(world.came(), world.went());
    for (flowtable::PortId port = 0; port < kPorts; ++port) EXPECT_EQ(world.received(port), expected[port]);
    for (unsigned i = 0; i < frames.size(); ++i) EXPECT_EQ(frames[i].memory(), originals[i]);
  }
}

/// Receives what was sent through a device, so that the frames are in mbufs.
struct MbufFrames {
  World source{1};
  std::unique_ptr<ports::Burst> burst = std::make_unique<ports::Burst>();

  explicit MbufFrames(const std::vector<Bytes>& frames) {
    for (const Bytes& bytes : frames) {
      ports::Frame& frame = burst->frames[burst->count];
      rte_mbuf* mbuf = ports::to_mbuf(GuestFrame(bytes).frame(), test::shared_pool());
      EXPECT_EQ(ports::from_mbuf(mbuf, std::span(burst->segments).subspan(burst->segment_count), frame), std::nullopt);
      burst->segment_count += frame.rest_count;
      ++burst->count;
    }
  }
  ~MbufFrames() {
    for (ports::Frame& frame : burst->view()) {
      if (frame.mbuf != nullptr) rte_pktmbuf_free(frame.mbuf);
    }
  }
};

TEST(Execute, frames_in_mbufs_and_frames_of_guests_come_out_alike_and_no_mbuf_is_lost) {
  std::mt19937 random(2);
  const unsigned free_before = rte_mempool_avail_count(test::shared_pool());
  for (int round = 0; round < 60; ++round) {
    World of_guest(kPorts);
    World of_mbuf(kPorts);
    std::vector<Bytes> bytes;
    std::vector<std::vector<Action>> lists;
    std::vector<GuestFrame> guests;
    for (unsigned i = 0; i < ports::kBurstSize; ++i) {
      bytes.push_back(random_frame(random));
      lists.push_back(random_list(random));
      guests.emplace_back(bytes.back());
    }
    MbufFrames mbufs(bytes);
    for (unsigned i = 0; i < bytes.size(); ++i) {
      of_guest.run(guests[i].frame(), lists[i]);
      of_mbuf.run(mbufs.burst->frames[i], lists[i]);
    }
    of_guest.egress.flush();
    of_mbuf.egress.flush();
    EXPECT_EQ(of_mbuf.came(), of_mbuf.went());
    for (flowtable::PortId port = 0; port < kPorts; ++port) {
      EXPECT_EQ(of_mbuf.received(port), of_guest.received(port));
    }
  }
  EXPECT_EQ(rte_mempool_avail_count(test::shared_pool()), free_before);
}

TEST(Execute, an_mbuf_that_goes_to_one_port_is_not_copied) {
  std::mt19937 random(3);
  for (const bool list_of_many : {false, true}) {
    World world(2);
    MbufFrames mbufs({random_frame(random)});
    std::vector<Action> list{output(1)};
    if (list_of_many) list.insert(list.begin(), action(ActionKind::set_dl_src));
    world.run(mbufs.burst->frames[0], list);
    world.egress.flush();
    EXPECT_EQ(mbufs.burst->frames[0].mbuf, nullptr);
    EXPECT_EQ(world.received(1).size(), 1U);
  }
}

TEST(Execute, more_copies_than_there_is_room_for_keep_every_output_as_it_was) {
  std::mt19937 random(4);
  for (const bool in_mbuf : {false, true}) {
    World world(2);
    const Bytes bytes = random_frame(random);
    GuestFrame guest(bytes);
    MbufFrames mbufs({bytes});
    std::vector<Action> list;
    constexpr unsigned kOutputs = 300;
    for (unsigned i = 0; i < kOutputs; ++i) {
      list.push_back(action(ActionKind::set_dl_src, 0,
                            {2, 2, 2, 2, static_cast<std::uint8_t>(i >> 8U), static_cast<std::uint8_t>(i)}));
      list.push_back(output(static_cast<flowtable::PortId>(i % 2)));
    }
    world.run(in_mbuf ? mbufs.burst->frames[0] : guest.frame(), list);
    world.egress.flush();
    for (unsigned port = 0; port < 2; ++port) {
      const auto frames = world.received(static_cast<flowtable::PortId>(port));
      ASSERT_EQ(frames.size(), kOutputs / 2);
      for (unsigned i = 0; i < frames.size(); ++i) {
        EXPECT_EQ(frames[i][10] * 256U + frames[i][11], i * 2 + port);
        EXPECT_TRUE(std::equal(frames[i].begin() + 12, frames[i].end(), bytes.begin() + 12));
      }
    }
    EXPECT_EQ(world.came(), world.went());
    EXPECT_EQ(world.in().copies.get(), kOutputs - 1);
  }
}

TEST(Execute, a_flood_reaches_every_port_as_often_as_it_says) {
  std::mt19937 random(5);
  World world(3);
  std::vector<GuestFrame> frames;
  std::vector<Action> flood;
  for (int i = 0; i < 90; ++i) flood.push_back(output(static_cast<flowtable::PortId>(i % 3)));
  for (unsigned i = 0; i < 20; ++i) frames.emplace_back(random_frame(random));
  for (auto& frame : frames) world.run(frame.frame(), flood);
  world.egress.flush();
  for (flowtable::PortId port = 0; port < 3; ++port) EXPECT_EQ(world.received(port).size(), 600U);
  EXPECT_EQ(world.came(), world.went());
}

TEST(Execute, a_port_that_nobody_is_connected_to_counts_what_it_cannot_send) {
  std::mt19937 random(6);
  World world(2);
  world.view.tx[1].queues.clear();
  GuestFrame frame(random_frame(random));
  world.run(frame.frame(), {output(0), output(1)});
  world.egress.flush();
  EXPECT_EQ(world.received(0).size(), 1U);
  EXPECT_EQ(world.counters[1]->dropped(DropReason::tx_not_connected), 1U);
  EXPECT_EQ(world.in().dropped(DropReason::port_gone), 0U);
  EXPECT_EQ(world.came(), world.went());
}

TEST(Execute, a_list_that_ends_without_an_output_is_a_drop_with_its_reason) {
  std::mt19937 random(6);
  World world(1);
  const auto run = [&](std::vector<Action> list) {
    GuestFrame frame(random_frame(random));
    world.run(frame.frame(), std::move(list));
    world.egress.flush();
  };
  run({action(ActionKind::drop, static_cast<std::uint16_t>(DropReason::same_port))});
  run({action(ActionKind::set_dl_src)});
  run({output(7)});
  EXPECT_EQ(world.in().dropped(DropReason::same_port), 1U);
  EXPECT_EQ(world.in().dropped(DropReason::rule_no_output), 1U);
  EXPECT_EQ(world.in().dropped(DropReason::port_gone), 1U);
  EXPECT_EQ(world.came(), world.went());
  run({output(0), action(ActionKind::drop, static_cast<std::uint16_t>(DropReason::rule))});
  EXPECT_EQ(world.in().dropped(DropReason::rule), 0U);
  EXPECT_EQ(world.received(0).size(), 1U);
  EXPECT_EQ(world.came(), world.went());
}

TEST(Execute, a_ttl_used_up_after_an_output_stops_the_list_and_adds_up) {
  World world(1);
  Bytes bytes = {2,  0, 0, 0, 0, 2, 2,  0, 0, 0, 0, 1, 8, 0, 0x45, 0, 0,
                 20, 0, 0, 0, 0, 1, 17, 0, 0, 1, 2, 3, 4, 5, 6,    7, 8};
  GuestFrame frame(bytes);
  world.run(frame.frame(), {output(0), action(ActionKind::dec_ttl), output(0)});
  world.egress.flush();
  EXPECT_EQ(world.received(0), std::vector<Bytes>{bytes});
  EXPECT_EQ(world.in().dropped(DropReason::ttl_expired), 1U);
  EXPECT_EQ(world.came(), world.went());
}

TEST(Execute, eight_tags_can_be_pushed_and_a_ninth_drops_the_frame) {
  std::mt19937 random(7);
  const Bytes bytes = random_frame(random);
  const Action push = action(ActionKind::push_vlan, 5, {0x81, 0x00});
  World world(1);
  GuestFrame eight(bytes);
  std::vector<Action> list(8, push);
  list.push_back(output(0));
  world.run(eight.frame(), list);
  GuestFrame nine(bytes);
  world.run(nine.frame(), std::vector<Action>(9, push));
  world.egress.flush();
  const auto frames = world.received(0);
  ASSERT_EQ(frames.size(), 1U);
  EXPECT_EQ(frames[0].size(), bytes.size() + 32);
  EXPECT_EQ(world.in().dropped(DropReason::rx_headers_too_long), 1U);
}

}  // namespace
}  // namespace sluice
