// A guest that has arrived and does not say so: its address is known at once, and a RARP frame goes the way that one of
// its own would have gone. Real PMD, real slow path.
#include <gtest/gtest.h>
#include <rte_mempool.h>

#include "control/rules/parse.hpp"
#include "tests/unit/law/joined.hpp"

namespace sluice::test {
namespace {

using control::VlanConfig;
using flowtable::PortId;

constexpr PortId kGuest = 0;
const flowtable::MacAddress kMac{{0x52, 0x54, 0, 0, 0, 7}};

/// By hand, from RFC 903.
Bytes rarp(const Bytes& tag = {}) {
  Bytes frame{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x52, 0x54, 0, 0, 0, 7};
  frame.insert(frame.end(), tag.begin(), tag.end());
  const Bytes rest{0x80, 0x35, 0, 1, 8, 0, 6, 4, 0, 3, 0x52, 0x54, 0, 0, 0, 7, 0, 0, 0, 0, 0x52, 0x54, 0, 0, 0, 7};
  frame.insert(frame.end(), rest.begin(), rest.end());
  frame.resize(60 + tag.size());
  return frame;
}
Bytes tag(std::uint8_t vlan) { return {0x81, 0, 0, vlan}; }

VlanConfig trunk(std::vector<std::uint16_t> vlans, std::optional<std::uint16_t> native = {}) {
  return {VlanConfig::Mode::trunk, 0, std::move(vlans), native};
}
VlanConfig access(std::uint16_t vlan) { return {VlanConfig::Mode::access, vlan, {}, {}}; }

class Announcement : public ::testing::Test {
 protected:
  void plug(std::vector<VlanConfig> ports) {
    for (PortId port = 0; port < ports.size(); ++port) joined_.plug(port, ports[port]);
    joined_.settle();
    free_mbufs_ = rte_mempool_avail_count(shared_pool());
  }
  [[nodiscard]] bool known(std::uint16_t vlan, PortId port = kGuest) const {
    for (const auto& entry : joined_.slow->fdb()) {
      if (entry.key == control::fdb_key(vlan, kMac)) return entry.port == port;
    }
    return false;
  }
  void expect_counted(std::uint64_t frames, std::uint64_t bytes) {
    EXPECT_EQ(joined_.counters(kGuest).rx_packets.get(), frames);
    EXPECT_EQ(joined_.counters(kGuest).rx_bytes.get(), bytes);
    EXPECT_EQ(joined_.came(), joined_.went());
    EXPECT_EQ(rte_mempool_avail_count(shared_pool()), free_mbufs_);
  }
  std::vector<Bytes> taken(PortId port) { return joined_.ends[port]->take(); }

  Joined joined_{{}};
  unsigned free_mbufs_ = 0;
};

TEST_F(Announcement, is_known_at_once_and_reaches_every_other_port_as_from_the_guest) {
  plug({{}, {}, {}});
  EXPECT_EQ(joined_.slow->spread(kMac, kGuest), 1U);
  EXPECT_TRUE(known(0)) << "before any packet";
  joined_.settle();
  EXPECT_EQ(taken(kGuest), std::vector<Bytes>{});
  EXPECT_EQ(taken(1), std::vector<Bytes>{rarp()});
  EXPECT_EQ(taken(2), std::vector<Bytes>{rarp()});
  expect_counted(1, 60);
  // Its flow is there: the next goes without the slow path.
  joined_.slow->spread(kMac, kGuest);
  joined_.slow->run_once(joined_.now);
  joined_.pmd->run_once(joined_.now);
  EXPECT_EQ(taken(2), std::vector<Bytes>{rarp()});
  expect_counted(2, 120);
  EXPECT_EQ(joined_.pmd->counters().packets.get(), 2U);
}

TEST_F(Announcement, moves_the_address_here_from_where_it_was) {
  plug({{}, {}, {}});
  ASSERT_TRUE(joined_.slow->announce(kMac, 2));
  joined_.slow->spread(kMac, kGuest);
  EXPECT_TRUE(known(0));
  joined_.settle();
  EXPECT_TRUE(known(0));
}

TEST_F(Announcement, is_made_in_the_guests_vlan_with_the_tag_that_each_port_gives_it) {
  plug({access(10), access(10), trunk({}), access(20)});
  EXPECT_EQ(joined_.slow->spread(kMac, kGuest), 1U);
  joined_.settle();
  EXPECT_TRUE(known(10));
  EXPECT_EQ(taken(1), std::vector<Bytes>{rarp()});
  EXPECT_EQ(taken(2), std::vector<Bytes>{rarp(tag(10))});
  EXPECT_EQ(taken(3), std::vector<Bytes>{});
  expect_counted(1, 60);
}

TEST_F(Announcement, of_a_guest_on_a_trunk_is_made_in_each_vlan_that_it_lists) {
  plug({trunk({10, 20}), access(10), access(20), access(30)});
  EXPECT_EQ(joined_.slow->spread(kMac, kGuest), 2U);
  joined_.settle();
  EXPECT_TRUE(known(10) && known(20));
  EXPECT_EQ(taken(1), std::vector<Bytes>{rarp()});
  EXPECT_EQ(taken(2), std::vector<Bytes>{rarp()});
  EXPECT_EQ(taken(3), std::vector<Bytes>{});
  expect_counted(2, 128);
}

TEST_F(Announcement, on_a_trunk_of_all_vlans_is_made_where_the_address_was_heard) {
  plug({trunk({}, 5), trunk({}), access(30), access(31)});
  ASSERT_TRUE(joined_.slow->announce(kMac, 1, 30));
  EXPECT_EQ(joined_.slow->spread(kMac, kGuest), 2U);
  joined_.settle();
  EXPECT_TRUE(known(5) && known(30));
  EXPECT_EQ(taken(1), (std::vector<Bytes>{rarp(tag(5)), rarp(tag(30))}));
  EXPECT_EQ(taken(2), std::vector<Bytes>{rarp()});
  EXPECT_EQ(taken(3), std::vector<Bytes>{});
  expect_counted(2, 124);
}

TEST_F(Announcement, is_subject_to_rules_like_any_packet) {
  plug({{}, {}, {}});
  joined_.slow->add_rule(*control::parse_rule("dl_type=0x8035,actions=drop", joined_.slow->port_names()));
  joined_.settle();
  joined_.slow->spread(kMac, kGuest);
  joined_.settle();
  EXPECT_EQ(taken(1), std::vector<Bytes>{});
  EXPECT_EQ(joined_.counters(kGuest).dropped(ports::DropReason::rule), 1U);
  expect_counted(1, 60);
}

TEST_F(Announcement, is_bounded_however_often_it_is_asked_for) {
  std::vector<std::uint16_t> vlans;
  for (std::uint16_t vlan = 1; vlan < 60; ++vlan) vlans.push_back(vlan);
  plug({trunk(vlans), {}});
  for (int i = 0; i < 100; ++i) joined_.slow->spread(kMac, kGuest);
  EXPECT_GE(free_mbufs_ - rte_mempool_avail_count(shared_pool()), 200U);
  EXPECT_LE(free_mbufs_ - rte_mempool_avail_count(shared_pool()), 300U);
  joined_.settle();
  static_cast<void>(taken(1));
  EXPECT_EQ(rte_mempool_avail_count(shared_pool()), free_mbufs_);
}

TEST_F(Announcement, of_a_port_that_is_gone_or_of_a_group_is_nothing) {
  plug({{}, {}});
  EXPECT_EQ(joined_.slow->spread({{0x33, 0x33, 0, 0, 0, 1}}, kGuest), 0U);
  EXPECT_EQ(joined_.slow->spread(kMac, 2), 0U);
}

TEST(AnnouncementLeft, with_a_pmd_that_stopped_is_given_back) {
  const unsigned free = rte_mempool_avail_count(shared_pool());
  {
    Joined joined({});
    joined.plug(kGuest);
    joined.plug(1);
    joined.settle();
    joined.slow->spread(kMac, kGuest);
    EXPECT_LT(rte_mempool_avail_count(shared_pool()), free);
  }
  EXPECT_EQ(rte_mempool_avail_count(shared_pool()), free);
}

}  // namespace
}  // namespace sluice::test
