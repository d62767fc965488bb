// The law that one lookup rests on: packets that are the same under a class's mask have the same rule.
#include "control/rules/class_mask.hpp"

#include <gtest/gtest.h>

#include <array>
#include <bit>

#include "control/rules/parse.hpp"
#include "tests/unit/rules/random_rule.hpp"

namespace sluice::control {
namespace {

using flowtable::FlowKey;
using flowtable::PacketClass;
using flowtable::PortId;

FlowKey inverted(const FlowKey& mask) {
  auto words = std::bit_cast<std::array<std::uint64_t, 8>>(mask);
  for (auto& word : words) word = ~word;
  return std::bit_cast<FlowKey>(words);
}

RuleTable random_table(testing::Random& random) {
  RuleTable table;
  for (unsigned n = 1 + testing::below(random, 12); n > 0; --n) table.add(testing::random_rule(random));
  return table;
}

TEST(ClassMask, packets_that_are_the_same_under_it_have_the_same_rule) {
  testing::Random random(3);
  int won = 0;
  int changed = 0;
  for (int round = 0; round < 4000; ++round) {
    const RuleTable table = random_table(random);
    const auto c = testing::random_class(random);
    const auto port = static_cast<PortId>(testing::below(random, testing::kPorts));
    const FlowKey mask = class_mask(c, port, table, FlowKey{});
    for (int i = 0; i < 20; ++i) {
      const FlowKey a = testing::random_key(random, c, port);
      // Another packet of this class, made the same in what the mask asks for.
      const FlowKey other = testing::random_key(random, c, port);
      const FlowKey b = merged(masked(a, mask), masked(other, inverted(mask)));
      ASSERT_TRUE(masked(a, mask) == masked(b, mask));
      ASSERT_EQ(table.match(a), table.match(b));
      won += table.match(a) != nullptr ? 1 : 0;
      changed += a == b ? 0 : 1;
    }
  }
  EXPECT_GT(won, 1000);
  EXPECT_GT(changed, 1000);
}

TEST(ClassMask, a_rule_that_wins_could_match) {
  testing::Random random(4);
  for (int round = 0; round < 20'000; ++round) {
    const Rule rule = testing::random_rule(random);
    const auto c = testing::random_class(random);
    const auto port = static_cast<PortId>(testing::below(random, testing::kPorts));
    if (matches(rule, testing::random_key(random, c, port))) {
      ASSERT_TRUE(could_match(rule, c, port));
    }
  }
}

class ClassMaskOf : public ::testing::Test {
 protected:
  // The mask's own fields, without those that are always there.
  FlowKey mask(PacketClass c, PortId port, std::initializer_list<const char*> rules) {
    RuleTable table;
    for (const char* text : rules) table.add(parse_rule(text, ports_).value());
    FlowKey mask = class_mask(c, port, table, FlowKey{});
    EXPECT_EQ(mask.in_port, 0xffff);
    EXPECT_EQ(mask.packet_class, 0xff);
    EXPECT_EQ(mask.mask_generation, 0xffff);
    mask.in_port = mask.mask_generation = 0;
    mask.packet_class = 0;
    return mask;
  }
  PortNames ports_ = testing::numbered_ports();
};

TEST_F(ClassMaskOf, a_rule_on_tcp_ports_leaves_all_but_tcp_alone) {
  const auto* rule = "tcp,tp_dst=22,actions=drop";
  EXPECT_EQ(mask(PacketClass::ipv4_tcp, 0, {rule}).tp_dst_be, 0xffff);
  for (const auto c : {PacketClass::ipv4_udp, PacketClass::ipv4_icmp, PacketClass::ipv6_tcp, PacketClass::arp,
                       PacketClass::other, PacketClass::ipv4_fragment, PacketClass::ipv4_other}) {
    EXPECT_TRUE(mask(c, 0, {rule}) == FlowKey{}) << static_cast<int>(c);
  }
}

TEST_F(ClassMaskOf, another_port_s_rules_do_not_count) {
  const auto* rule = "in_port=2,tcp,tp_dst=22,actions=drop";
  EXPECT_TRUE(mask(PacketClass::ipv4_tcp, 0, {rule}) == FlowKey{});
  EXPECT_EQ(mask(PacketClass::ipv4_tcp, 1, {rule}).tp_dst_be, 0xffff);
}

TEST_F(ClassMaskOf, rules_hidden_behind_one_that_matches_all_do_not_count) {
  const auto* hidden = "priority=1,tcp,tp_dst=22,actions=drop";
  EXPECT_EQ(mask(PacketClass::ipv4_tcp, 0, {hidden, "priority=2,ip,actions=normal"}).tp_dst_be, 0);
  EXPECT_EQ(
      mask(PacketClass::ipv4_tcp, 0, {hidden, "priority=2,ip,actions=normal", "priority=0,actions=drop"}).tp_dst_be, 0);
  EXPECT_EQ(mask(PacketClass::ipv4_tcp, 0, {hidden, "priority=0,ip,actions=normal"}).tp_dst_be, 0xffff);
  EXPECT_EQ(mask(PacketClass::ipv4_tcp, 0, {hidden, "priority=2,ipv6,actions=normal"}).tp_dst_be, 0xffff);
  EXPECT_EQ(mask(PacketClass::ipv4_tcp, 0, {hidden, "priority=2,ip,dl_vlan=1,actions=normal"}).tp_dst_be, 0xffff);
}

TEST_F(ClassMaskOf, what_the_base_asks_for_stays) {
  FlowKey base{};
  base.dl_dst = {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};
  EXPECT_TRUE(class_mask(PacketClass::arp, 0, RuleTable{}, base).dl_dst == base.dl_dst);
}

}  // namespace
}  // namespace sluice::control
