// Text from rules, keys and actions; and the law that parse undoes format.
#include "control/rules/format.hpp"

#include <gtest/gtest.h>
#include <netinet/in.h>

#include "control/rules/parse.hpp"
#include "ports/drop_reason.hpp"
#include "tests/unit/rules/random_rule.hpp"

namespace sluice::control {
namespace {

using flowtable::Action;
using flowtable::ActionKind;
using flowtable::FlowKey;

TEST(FormatRule, parse_gives_the_same_rule_again) {
  const auto ports = testing::numbered_ports();
  testing::Random random(1);
  for (int i = 0; i < 50'000; ++i) {
    const Rule rule = testing::random_rule(random);
    const std::string text = format_rule(rule, ports);
    const auto again = parse_rule(text, ports);
    ASSERT_TRUE(again) << text << "\n" << again.error().message;
    ASSERT_TRUE(testing::same_rule(rule, *again)) << text << "\n" << again->text;
    ASSERT_EQ(again->text, text);
  }
}

FlowKey packet(const char* text) { return parse_packet(text, testing::numbered_ports()).value(); }
FlowKey mask_of(const char* text) { return parse_rule_match(text, testing::numbered_ports()).value().mask; }

TEST(FormatKey, shows_the_fields_of_the_mask_only_behind_the_class) {
  const auto ports = testing::numbered_ports();
  const FlowKey key =
      packet("in_port=2,dl_vlan=5,dl_vlan_pcp=1,tcp,dl_src=02:00:00:00:00:01,nw_src=10.0.0.7,tp_src=4000,tp_dst=22");
  EXPECT_EQ(format_key(key, mask_of("in_port=1"), ports), "tcp,in_port=2");
  EXPECT_EQ(format_key(key, mask_of("in_port=1,tcp,nw_src=10.0.0.0/24,tp_dst=1,dl_vlan=1"), ports),
            "tcp,in_port=2,dl_vlan=5,nw_src=10.0.0.0/24,tp_dst=22");
  EXPECT_EQ(format_key(packet("in_port=1,dl_type=0x88cc"), mask_of("in_port=1"), ports), "in_port=1");
  EXPECT_EQ(format_key(packet("in_port=1,dl_type=0x88cc"), mask_of("in_port=1,tcp,tp_dst=1"), ports),
            "dl_type=0x88cc,in_port=1");
  EXPECT_EQ(format_key(packet("in_port=1,tcp,ip_frag=later"), mask_of("in_port=1"), ports),
            "ip,in_port=1,nw_frag=later");
  EXPECT_EQ(format_key(packet("in_port=1,icmp6,icmp_type=135"), mask_of("icmp6,icmp_type=1"), ports),
            "icmp6,icmp_type=135");
}

TEST(FormatKey, names_an_802_1ad_tag_and_the_inner_tag) {
  FlowKey key = packet("in_port=1");
  key.tag_kinds = 0x13;
  key.outer_tci_be = htons(100);
  key.inner_tci_be = htons(7);
  FlowKey mask{};
  mask.tag_kinds = 0xff;
  mask.outer_tci_be = htons(0x0fff);
  mask.inner_tci_be = htons(0x0fff);
  EXPECT_EQ(format_key(key, mask, testing::numbered_ports()), "dl_vlan=100,dl_vlan_tpid=0x88a8,inner_vlan=7");
}

TEST(FormatKey, says_no_more_of_fragments_than_was_asked) {
  const auto text = [](const char* packet_text, const char* match) {
    return format_key(packet(packet_text), mask_of(match), testing::numbered_ports());
  };
  EXPECT_EQ(text("in_port=1,ip,nw_proto=47", "ip,ip_frag=yes"), "ip,nw_frag=no");
  EXPECT_EQ(text("in_port=1,ip,nw_proto=47,ip_frag=first", "ip,ip_frag=yes"), "ip,nw_frag=yes");
  EXPECT_EQ(text("in_port=1,ip,nw_proto=47", "ip,ip_frag=not_later"), "ip,nw_frag=not_later");
  EXPECT_EQ(text("in_port=1,ip,nw_proto=47", "ip,ip_frag=no"), "ip,nw_frag=no");
  EXPECT_EQ(text("in_port=1,ip,nw_proto=47,ip_frag=first", "ip,ip_frag=no"), "ip,nw_frag=first");
}

TEST(FormatActions, look_as_an_operator_knows_them) {
  const auto ports = testing::numbered_ports();
  const auto text = [&](std::vector<Action> actions) {
    return format_actions(flowtable::ActionList(std::move(actions)), ports);
  };
  EXPECT_EQ(text({{.kind = ActionKind::output, .value = 1}}), "output:2");
  EXPECT_EQ(text({{.kind = ActionKind::drop, .value = static_cast<std::uint16_t>(sluice::ports::DropReason::rule)}}),
            "drop (rule)");
  EXPECT_EQ(text({{.kind = ActionKind::push_vlan, .value = 0x6005, .bytes = {0x88, 0xa8}},
                  {.kind = ActionKind::output, .value = 9}}),
            "push_vlan(tpid=0x88a8,vid=5,pcp=3),output:\"port 9 (gone)\"");
  EXPECT_EQ(text({{.kind = ActionKind::push_vlan, .value = 5, .bytes = {0x81, 0x00}}}), "push_vlan(vid=5,pcp=0)");
}

}  // namespace
}  // namespace sluice::control
