// What is decided for a packet: cases by hand, and laws over random ports and packets.
#include <algorithm>
#include <random>

#include "tests/unit/slowpath/world.hpp"

namespace sluice::control::test {
namespace {

using flowtable::ActionKind;
using flowtable::FlowKey;
using flowtable::PortId;
using flowtable::TagKind;

const std::string kTo2 = "dl_dst=02:00:00:00:00:02,dl_src=02:00:00:00:00:01";

TEST(Pipeline, unknown_unicast_and_groups_flood_the_vlan_only) {
  World world;
  world.port(1, access(10));
  world.port(2, access(10));
  world.port(3, access(20));
  world.port(4, trunk({10, 20}));
  EXPECT_EQ(world.decided(world.key("in_port=p1," + kTo2)), "output:p2,push_vlan(vid=10,pcp=0),output:p4");
  EXPECT_EQ(world.decided(world.key("in_port=p3," + kTo2)), "push_vlan(vid=20,pcp=0),output:p4");
  EXPECT_EQ(world.decided(world.key("in_port=p4,dl_vlan=10,dl_dst=ff:ff:ff:ff:ff:ff")),
            "strip_vlan,output:p1,output:p2");
}

TEST(Pipeline, a_known_address_gets_the_tags_its_port_wants) {
  World world;
  world.port(1, access(10));
  world.port(2, trunk({}, 10));
  world.port(3, trunk());
  world.port(4, tunnel(10));
  world.port(5, access(10));
  const auto to = [&](PortId id) { ASSERT_TRUE(world.slow->announce({{2, 0, 0, 0, 0, 2}}, id, 10)); };
  const auto from = [&](const std::string& in) { return world.decided(world.key(in + "," + kTo2)); };
  to(2);
  EXPECT_EQ(from("in_port=p1"), "output:p2");
  EXPECT_EQ(from("in_port=p3,dl_vlan=10"), "strip_vlan,output:p2");
  EXPECT_EQ(from("in_port=p4"), "output:p2");
  EXPECT_EQ(from("in_port=p4,dl_vlan=77"), "output:p2") << "a tunnel's customer tags are payload";
  to(3);
  EXPECT_EQ(from("in_port=p1"), "push_vlan(vid=10,pcp=0),output:p3");
  EXPECT_EQ(from("in_port=p2"), "push_vlan(vid=10,pcp=0),output:p3");
  EXPECT_EQ(from("in_port=p2,dl_vlan=10"), "output:p3");
  EXPECT_EQ(from("in_port=p4,dl_vlan=77"), "push_vlan(tpid=0x88a8,vid=10,pcp=0),output:p3");
  EXPECT_EQ(from("in_port=p1,dl_vlan=0"), "mod_vlan_vid:10,output:p3") << "a priority tag gets the number";
  to(5);
  EXPECT_EQ(from("in_port=p1,dl_vlan=0"), "strip_vlan,output:p5");
  EXPECT_EQ(from("in_port=p3,dl_vlan=10"), "strip_vlan,output:p5");
  to(4);
  EXPECT_EQ(from("in_port=p3,dl_vlan=10"), "strip_vlan,output:p4");
  EXPECT_EQ(from("in_port=p1"), "output:p4");
  to(1);
  EXPECT_EQ(from("in_port=p1"), "drop (same_port)");
}

TEST(Pipeline, a_port_admits_its_vlans_only) {
  World world;
  world.port(1, access(10));
  world.port(2, trunk({10, 20}));
  world.port(3, trunk({10}, 20));
  world.port(4);
  const auto from = [&](const std::string& in) { return world.decided(world.key(in + "," + kTo2)); };
  EXPECT_EQ(from("in_port=p1,dl_vlan=10"), "drop (vlan_not_allowed)");
  EXPECT_EQ(from("in_port=p2,dl_vlan=30"), "drop (vlan_not_allowed)");
  EXPECT_EQ(from("in_port=p2"), "drop (vlan_not_allowed)") << "VLAN 0 is not among its trunks";
  EXPECT_EQ(from("in_port=p3,dl_vlan=30"), "drop (vlan_not_allowed)");
  EXPECT_EQ(from("in_port=p3"), "push_vlan(vid=20,pcp=0),output:p2,output:p4");
  EXPECT_EQ(from("in_port=p4,dl_vlan=30"), "drop (no_destination)");
  EXPECT_EQ(from("in_port=p4"), "drop (no_destination)") << "nobody else carries VLAN 0";
}

TEST(Pipeline, admission_comes_before_rules) {
  World world;
  world.port(1, access(10));
  world.port(2);
  world.rule("priority=1,actions=output:p2");
  EXPECT_EQ(world.decided(world.key("in_port=p1,dl_vlan=7")), "drop (vlan_not_allowed)");
  EXPECT_EQ(world.decided(world.key("in_port=p1")), "output:p2");
}

TEST(Pipeline, reserved_addresses_are_dropped_by_normal_but_not_by_rules) {
  World world;
  world.port(1);
  world.port(2);
  EXPECT_EQ(world.decided(world.key("in_port=p1,dl_dst=01:80:c2:00:00:0e")), "drop (reserved_address)");
  EXPECT_EQ(world.decided(world.key("in_port=p1,dl_dst=01:80:c2:00:00:10")), "output:p2");
  world.rule("dl_dst=01:80:c2:00:00:0e,actions=output:p2");
  EXPECT_EQ(world.decided(world.key("in_port=p1,dl_dst=01:80:c2:00:00:0e")), "output:p2");
}

TEST(Pipeline, without_flood_unknown_unicast_is_dropped_and_groups_are_not) {
  SlowPathOptions options;
  options.bridge.flood = false;
  World world(options);
  world.port(1);
  world.port(2);
  EXPECT_EQ(world.decided(world.key("in_port=p1," + kTo2)), "drop (no_destination)");
  EXPECT_EQ(world.decided(world.key("in_port=p1,dl_dst=ff:ff:ff:ff:ff:ff")), "output:p2");
}

TEST(Pipeline, a_rules_edits_are_what_the_bridge_sees) {
  World world;
  world.port(1);
  world.port(2, access(30));
  world.port(3);
  world.rule("in_port=p1,actions=mod_vlan_vid:30,normal");
  EXPECT_EQ(world.decided(world.key("in_port=p1," + kTo2)), "mod_vlan_vid:30,output:p3,strip_vlan,output:p2");
  world.rule("in_port=p1,actions=mod_dl_dst:02:00:00:00:00:99,normal");
  ASSERT_TRUE(world.slow->announce({{2, 0, 0, 0, 0, 0x99}}, 3));
  EXPECT_EQ(world.decided(world.key("in_port=p1," + kTo2)), "mod_dl_dst:02:00:00:00:00:99,output:p3");
}

TEST(Pipeline, raw_outputs_edit_no_tags_and_never_go_back_unasked) {
  World world;
  world.port(1, access(10));
  world.port(2, access(20));
  world.port(3, trunk({30}));
  world.rule("priority=1,actions=flood");
  EXPECT_EQ(world.decided(world.key("in_port=p1")), "output:p2,output:p3");
  world.rule("priority=2,actions=output:p1");
  EXPECT_EQ(world.decided(world.key("in_port=p1")), "drop (rule_no_output)");
  EXPECT_EQ(world.decided(world.key("in_port=p2")), "output:p1");
  world.rule("priority=3,actions=in_port");
  EXPECT_EQ(world.decided(world.key("in_port=p1")), "output:p1");
  world.rule("priority=4,actions=drop");
  EXPECT_EQ(world.decided(world.key("in_port=p1")), "drop (rule)");
}

TEST(Pipeline, what_follows_normal_meets_the_frame_as_it_was) {
  World world;
  world.port(1);
  world.port(2, access(10));
  world.port(3, tunnel(40));
  world.rule("actions=normal,output:p3");
  EXPECT_EQ(world.decided(world.key("in_port=p1,dl_vlan=10,dl_vlan_pcp=5," + kTo2)),
            "strip_vlan,output:p2,push_vlan(vid=10,pcp=5),output:p3");
}

TEST(Pipeline, a_group_address_is_no_source_to_learn) {
  World world;
  world.port(1);
  world.port(2);
  world.send("in_port=p1,dl_src=03:00:00:00:00:01,dl_dst=02:00:00:00:00:02");
  EXPECT_EQ(world.slow->fdb_size(), 0U);
  world.send("in_port=p1,dl_src=02:00:00:00:00:01,dl_dst=02:00:00:00:00:02");
  EXPECT_EQ(world.slow->fdb_size(), 1U);
}

TEST(Pipeline, a_trace_says_why) {
  World world;
  world.port(1, access(10));
  world.port(2, access(10));
  const auto lines = world.slow->trace(world.key("in_port=p1," + kTo2));
  const auto says = [&](const std::string& what) {
    return std::ranges::any_of(lines, [&](const auto& line) { return line.find(what) != std::string::npos; });
  };
  EXPECT_TRUE(says("VLAN 10"));
  EXPECT_TRUE(says("no rule matches"));
  EXPECT_TRUE(says("flooded"));
  EXPECT_EQ(lines.back(), "actions: output:p2");
  EXPECT_EQ(world.slow->fdb_size(), 0U) << "and changes nothing";
  world.port(3, trunk({20}));
  const auto first = [&](const std::string& packet) {
    return world.slow->trace(world.key(packet + "," + kTo2)).front();
  };
  EXPECT_EQ(first("in_port=p1,dl_vlan=10"), "port p1: is an access port, which takes no tagged frames");
  EXPECT_EQ(first("in_port=p3,dl_vlan=10"), "port p3: does not carry VLAN 10");
  EXPECT_EQ(first("in_port=p3"), "port p3: carries no untagged frames");
  EXPECT_EQ(first("in_port=p3,dl_vlan=0"), "port p3: carries no untagged frames");
}

// Laws.

VlanConfig random_vlan(std::mt19937& random) {
  const auto vlan = [&] { return static_cast<std::uint16_t>(1 + random() % 3); };
  switch (random() % 6) {
    case 0: return access(vlan());
    case 1: return tunnel(vlan());
    case 2: return trunk();
    case 3: return trunk({}, vlan());
    case 4: return trunk({1, 3});
    default: return trunk({0, 2}, random() % 2 == 0 ? std::optional(vlan()) : std::nullopt);
  }
}

FlowKey random_key(std::mt19937& random, unsigned ports) {
  FlowKey key{};
  key.in_port = static_cast<PortId>(1 + random() % ports);
  key.dl_src = {{2, 0, 0, 0, 0, static_cast<std::uint8_t>(random() % 6)}};
  key.dl_dst = random() % 5 == 0 ? flowtable::MacAddress{{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}}
                                 : flowtable::MacAddress{{2, 0, 0, 0, 0, static_cast<std::uint8_t>(random() % 6)}};
  key.ethertype_be = 0x0990;
  const auto tags = random() % 3;
  if (tags >= 1) {
    key.tag_kinds = random() % 4 == 0 ? 2 : 1;
    key.outer_tci_be = static_cast<std::uint16_t>((random() % 4) << 8U | (random() % 8) << 5U);
  }
  if (tags == 2) {
    key.tag_kinds |= 0x10;
    key.inner_tci_be = static_cast<std::uint16_t>((random() % 4) << 8U);
  }
  return key;
}

/// The tags of a frame, the outermost last, as actions change them: the test's own reading of the actions.
void apply(std::vector<std::uint16_t>& vids, const flowtable::Action& action) {
  if (action.kind == ActionKind::push_vlan) vids.push_back(action.value & 0xfff);
  if (action.kind == ActionKind::pop_vlan && !vids.empty()) vids.pop_back();
  if (action.kind == ActionKind::set_vlan_vid) {
    if (vids.empty()) vids.push_back(0);
    vids.back() = action.value;
  }
}

/// IEEE 802.1Q in the test's words: the VLAN that a frame with these tags is in on a port, -1 if in none.
int vlan_on(const VlanConfig& port, const std::vector<std::uint16_t>& vids) {
  const int vid = vids.empty() ? 0 : vids.back();
  if (port.mode == VlanConfig::Mode::dot1q_tunnel) return port.tag;
  if (port.mode == VlanConfig::Mode::access) return vid == 0 ? port.tag : -1;
  const int vlan = vid != 0 ? vid : port.native.value_or(0);
  if (port.native == vlan) return vlan;
  if (port.trunks.empty()) return vlan;
  return std::ranges::count(port.trunks, vlan) != 0 ? vlan : -1;
}

TEST(PipelineLaw, a_frame_stays_in_its_vlan_and_never_returns) {
  std::mt19937 random(7);
  constexpr unsigned kPorts = 6;
  for (int run = 0; run < 300; ++run) {
    World world;
    std::vector<VlanConfig> vlans(kPorts + 1);
    for (PortId id = 1; id <= kPorts; ++id) world.port(id, vlans[id] = random_vlan(random));
    for (int i = 0; i < 40; ++i) {
      const auto key = random_key(random, kPorts);
      const bool in_tunnel = vlans[key.in_port].mode == VlanConfig::Mode::dot1q_tunnel;
      std::vector<std::uint16_t> vids;
      if (key.inner_tag() != TagKind::none) vids.push_back(static_cast<std::uint16_t>(key.inner_tci_be >> 8U));
      if (key.outer_tag() != TagKind::none) vids.push_back(static_cast<std::uint16_t>(key.outer_tci_be >> 8U & 0xfU));
      const int vlan = vlan_on(vlans[key.in_port], vids);
      const auto payload_tags = in_tunnel ? vids.size() : vids.empty() ? 0 : vids.size() - 1;
      const auto outcome = world.slow->pipeline().decide(key);
      ASSERT_FALSE(outcome.actions.empty());
      std::vector<PortId> reached;
      for (const auto& action : outcome.actions) {
        apply(vids, action);
        if (action.kind != ActionKind::output) continue;
        reached.push_back(action.value);
        ASSERT_NE(action.value, key.in_port);
        const auto& out = vlans[action.value];
        // The tags on top of the payload are what the next bridge reads.
        const std::vector<std::uint16_t> own(vids.begin() + static_cast<std::ptrdiff_t>(payload_tags), vids.end());
        ASSERT_EQ(vlan_on(out, own), vlan) << world.decided(key);
        if (out.mode != VlanConfig::Mode::trunk) {
          ASSERT_TRUE(own.empty()) << "no tag of ours leaves an access port";
        }
        if (vlan != 0 && out.native == vlan) {
          ASSERT_TRUE(own.empty());
        }
        ASSERT_LE(own.size(), 1U);
      }
      auto distinct = reached;
      std::ranges::sort(distinct);
      ASSERT_EQ(std::unique(distinct.begin(), distinct.end()), distinct.end()) << "each port once";
      if (vlan < 0) {
        ASSERT_TRUE(reached.empty());
      }
      if (vlan >= 0 && key.dl_dst.is_multicast()) {
        for (PortId id = 1; id <= kPorts; ++id) {
          const bool expected = id != key.in_port && carries(vlans[id], static_cast<std::uint16_t>(vlan));
          ASSERT_EQ(std::ranges::count(reached, id), expected ? 1 : 0);
        }
      }
      world.send(key);
    }
  }
}

}  // namespace
}  // namespace sluice::control::test
