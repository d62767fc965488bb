// Rules from text: what is accepted and means what, what is refused and in which words.
#include "control/rules/parse.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>

#include "control/rules/format.hpp"
#include "control/rules/words.hpp"
#include "tests/unit/rules/random_rule.hpp"

namespace sluice::control {
namespace {

using flowtable::ActionKind;
using flowtable::FlowKey;
using flowtable::PacketClass;

PortNames three_ports() {
  PortNames ports;
  ports.add("vm1", 1);
  ports.add("vm2", 2);
  ports.add("up-link.0", 7);
  return ports;
}

struct Canonical {
  const char* text;
  const char* canonical;
};

class GoodRule : public ::testing::TestWithParam<Canonical> {};

TEST_P(GoodRule, has_its_canonical_form_which_means_the_same) {
  const auto rule = parse_rule(GetParam().text, three_ports());
  ASSERT_TRUE(rule) << rule.error().message;
  EXPECT_EQ(rule->text, GetParam().canonical);
  const auto again = parse_rule(rule->text, three_ports());
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_TRUE(testing::same_rule(*rule, *again));
}

INSTANTIATE_TEST_SUITE_P(
    Table, GoodRule,
    ::testing::Values(
        Canonical{"priority=100,in_port=vm1,tcp,tp_dst=22,actions=drop",
                  "priority=100,tcp,in_port=vm1,tp_dst=22 actions=drop"},
        Canonical{"actions=normal", "actions=normal"}, Canonical{"priority=32768 actions=NORMAL", "actions=normal"},
        Canonical{"tp_dst=22,tcp,actions=vm2", "tcp,tp_dst=22 actions=output:vm2"},
        Canonical{"  tcp , tp_dst=0x16 ,, actions= output:vm2 , \"up-link.0\",output(vm1)",
                  "tcp,tp_dst=22 actions=output:vm2,output:up-link.0,output:vm1"},
        Canonical{"in_port=\"vm1\",action=flood,in_port,output:in_port", "in_port=vm1 actions=flood,in_port,in_port"},
        Canonical{"ip,tcp,actions=drop", "tcp actions=drop"},
        Canonical{"dl_type=0x0800,nw_proto=6,tcp_dst=1,actions=drop", "tcp,tp_dst=1 actions=drop"},
        Canonical{"ip,nw_src=10.0.0.1/24,nw_dst=10.0.0.1/255.0.255.0,actions=drop",
                  "ip,nw_src=10.0.0.0/24,nw_dst=10.0.0.0/255.0.255.0 actions=drop"},
        Canonical{"ip,nw_dst=10.0.0.1/0,actions=drop", "ip actions=drop"},
        Canonical{"arp,arp_spa=10.0.0.1,nw_dst=10.0.0.2,arp_op=1,actions=drop",
                  "arp,arp_spa=10.0.0.1,arp_tpa=10.0.0.2,arp_op=1 actions=drop"},
        Canonical{"udp6,ipv6_src=fe80::1/64,ipv6_dst=FD00::1,udp_src=53,actions=drop",
                  "udp6,ipv6_src=fe80::/64,ipv6_dst=fd00::1,tp_src=53 actions=drop"},
        Canonical{"sctp,tp_src=0x10/0xfff0,actions=drop", "sctp,tp_src=0x10/0xfff0 actions=drop"},
        Canonical{"icmp,icmp_type=8,icmp_code=0,actions=set_field:0->icmp_type",
                  "icmp,icmp_type=8,icmp_code=0 actions=set_field:0->icmp_type"},
        Canonical{"icmp6,icmpv6_type=135,actions=set_field:136->icmp_type",
                  "icmp6,icmp_type=135 actions=set_field:136->icmpv6_type"},
        Canonical{"ip,nw_proto=47,ip_dscp=46,actions=drop", "ip,nw_proto=47,nw_tos=184 actions=drop"},
        Canonical{"ip,ip_frag=not_later,actions=drop", "ip,nw_frag=not_later actions=drop"},
        Canonical{"ip,ip_frag=yes,actions=drop", "ip,nw_frag=yes actions=drop"},
        Canonical{"ip,ip_frag=no,actions=drop", "ip,nw_frag=no actions=drop"},
        Canonical{"dl_vlan=0,dl_vlan_pcp=0,actions=strip_vlan,vm1",
                  "dl_vlan=0,dl_vlan_pcp=0 actions=strip_vlan,output:vm1"},
        Canonical{"dl_vlan=0xffff,actions=drop", "dl_vlan=0xffff actions=drop"},
        Canonical{"vlan_tci=0x1000/0x1000,actions=drop", "vlan_tci=0x1000/0x1000 actions=drop"},
        Canonical{"vlan_vid=0x1005,actions=drop", "dl_vlan=5 actions=drop"},
        Canonical{"vlan_tci=0,actions=drop", "dl_vlan=0xffff actions=drop"},
        Canonical{"dl_dst=01:00:00:00:00:00/01:00:00:00:00:00,eth_src=2:0:0:0:0:1,actions=drop",
                  "dl_src=02:00:00:00:00:01,dl_dst=01:00:00:00:00:00/01:00:00:00:00:00 actions=drop"},
        Canonical{"dl_type=0x88cc,actions=drop", "dl_type=0x88cc actions=drop"},
        Canonical{"actions=push_vlan:0x88a8,mod_vlan_vid:7,mod_vlan_pcp:3,set_field:0x1009->vlan_vid,pop_vlan,vm1",
                  "actions=push_vlan:0x88a8,mod_vlan_vid:7,mod_vlan_pcp:3,mod_vlan_vid:9,strip_vlan,output:vm1"},
        Canonical{"tcp,actions=dec_ttl,mod_nw_tos:184,mod_nw_src:1.2.3.4,set_field:1.2.3.5->ip_dst,mod_tp_src:1,"
                  "set_field:2->tcp_dst,mod_dl_src:02:00:00:00:00:01,set_field:02:00:00:00:00:02->eth_dst,vm1",
                  "tcp actions=dec_ttl,mod_nw_tos:184,mod_nw_src:1.2.3.4,mod_nw_dst:1.2.3.5,mod_tp_src:1,"
                  "mod_tp_dst:2,mod_dl_src:02:00:00:00:00:01,mod_dl_dst:02:00:00:00:00:02,output:vm1"},
        Canonical{"ipv6,actions=set_field:fe80::2->ipv6_src,normal",
                  "ipv6 actions=set_field:fe80::2->ipv6_src,normal"}));

struct Refused {
  const char* text;
  const char* message;
};

class BadRule : public ::testing::TestWithParam<Refused> {};

TEST_P(BadRule, is_refused_with_the_column_and_what_would_be_right) {
  const auto rule = parse_rule(GetParam().text, three_ports());
  ASSERT_FALSE(rule) << rule->text;
  EXPECT_EQ(rule.error().message, GetParam().message);
}

INSTANTIATE_TEST_SUITE_P(
    Table, BadRule,
    ::testing::Values(
        Refused{"", "column 1: actions=... is missing; actions=drop drops what matches"},
        Refused{"tcp", "column 4: actions=... is missing; actions=drop drops what matches"},
        Refused{"tcp,actions", "column 5: actions needs a value: actions=drop, for one"},
        Refused{"tcp,actions=", "column 13: an action is expected; drop drops what matches"},
        Refused{"priority=100,in_port=vm1,tp_dst=22,actions=drop",
                "column 26: tp_dst needs tcp, udp or sctp (or tcp6, udp6, sctp6) in the match"},
        Refused{"nw_src=10.0.0.1,actions=drop", "column 1: nw_src needs ip or arp in the match"},
        Refused{"ip,ipv6_dst=::1,actions=drop", "column 4: ipv6_dst needs ipv6 in the match"},
        Refused{"udp,tcp_dst=1,actions=drop", "column 5: tcp_dst needs tcp or tcp6 in the match"},
        Refused{"nw_proto=6,actions=drop", "column 1: nw_proto needs ip, ipv6 or arp in the match"},
        Refused{"tcp,tp_dst=22,ip_frag=later,actions=drop",
                "column 5: tp_dst is of a header that later fragments do not have"},
        Refused{"tcp,ip_frag=later,actions=mod_tp_dst:1",
                "column 27: mod_tp_dst is of a header that later fragments do not have"},
        Refused{"tcp,udp,actions=drop", "column 5: udp contradicts tcp in column 1: no packet is both"},
        Refused{"dl_vlan=0xffff,dl_vlan_pcp=1,actions=drop",
                "column 16: dl_vlan_pcp contradicts dl_vlan in column 1: no packet is both"},
        Refused{"dl_vlan=5,dl_vlan=5,actions=drop", "column 11: dl_vlan is given twice, first in column 1"},
        Refused{"priority=1,priority=1,actions=drop", "column 12: priority is given twice"},
        Refused{"priority=65536,actions=drop", "column 10: priority is a number from 0 to 65535, not '65536'"},
        Refused{"tcp,tp_dst=70000,actions=drop", "column 12: tp_dst is a number from 0 to 65535, not '70000'"},
        Refused{"tcp,tp_dst=010,actions=drop", "column 12: tp_dst is a number from 0 to 65535, not '010'"},
        Refused{"tcp,tp_dst,actions=drop", "column 5: tp_dst needs a value: tp_dst=..."},
        Refused{"tcp=1,actions=drop", "column 1: tcp stands alone, without a value"},
        Refused{"dl_vlan=4096,actions=drop",
                "column 9: dl_vlan is a number from 0 to 4095, or 0xffff for no tag, not '4096'"},
        Refused{"vlan_tci=5,actions=drop",
                "column 10: vlan_tci without 0x1000 means no tag, which has neither VID nor PCP; add 0x1000 (0x1005)"},
        Refused{"ip,nw_tos=3,actions=drop",
                "column 11: nw_tos is a DSCP times 4, so a multiple of 4 (the ECN bits are left alone), not '3'"},
        Refused{"ip,nw_src=10.0.0.0/33,actions=drop",
                "column 11: nw_src's prefix length is a number from 0 to 32, not '33'"},
        Refused{"ip,nw_src=10.0.0,actions=drop", "column 11: nw_src is an IPv4 address like 10.0.0.1, not '10.0.0'"},
        Refused{"ip,ip_frag=maybe,actions=drop",
                "column 12: ip_frag is no, yes, first, later or not_later, not 'maybe'"},
        Refused{"in_port=vm3,actions=drop", "column 9: there is no port 'vm3'; did you mean vm1?"},
        Refused{"in_port=7,actions=drop", "column 9: there is no port '7'; there are up-link.0, vm1, vm2"},
        Refused{"actions=output:7", "column 16: '7' is not a port; there are up-link.0, vm1, vm2"},
        Refused{"reg0=1,actions=drop",
                "column 1: 'reg0' is not a field that can be matched; `sluice rule add --help` lists those there are"},
        Refused{
            "actions=controller",
            "column 9: 'controller' is neither an action nor a port; `sluice rule add --help` lists those there are"},
        Refused{"TCP,actions=drop", "column 1: 'TCP' is not a field that can be matched; did you mean tcp?"},
        Refused{"tpc,actions=drop", "column 1: 'tpc' is not a field that can be matched; did you mean tcp?"},
        Refused{"tp_dts=4,actions=drop", "column 1: 'tp_dts' is not a field that can be matched; did you mean tp_dst?"},
        Refused{"actions=ouput:vm1", "column 9: 'ouput' is not an action; did you mean output?"},
        Refused{"actions=vm9", "column 9: 'vm9' is neither an action nor a port; did you mean vm1?"},
        Refused{"actions=drop,vm1", "column 9: drop stands alone: nothing can be done before or after it"},
        Refused{"actions=vm1,drop", "column 13: drop stands alone: nothing can be done before or after it"},
        Refused{"actions=normal:1", "column 16: normal stands alone, without a value"},
        Refused{"actions=output", "column 9: output needs a value: output:..."},
        Refused{"actions=mod_nw_src:1.2.3.4", "column 9: mod_nw_src needs ip or arp in the match"},
        Refused{"actions=dec_ttl", "column 9: dec_ttl needs ip or ipv6 in the match"},
        Refused{"ip,actions=mod_tp_dst:4",
                "column 12: mod_tp_dst needs tcp, udp or sctp (or tcp6, udp6, sctp6) in the match"},
        Refused{"actions=push_vlan:0x9100",
                "column 19: push_vlan takes 0x8100 (802.1Q) or 0x88a8 (802.1ad), not '0x9100'"},
        Refused{"ip,actions=set_field:1", "column 22: set_field is set_field:VALUE->FIELD"},
        Refused{"ip,actions=set_field:1->in_port", "column 22: in_port can be matched but not set"},
        Refused{"ip,actions=set_field:1->tp_dts",
                "column 25: 'tp_dts' is not a field that can be set; did you mean tp_dst?"},
        Refused{"in_port=\"vm1,actions=drop", "column 9: the quote that begins here has no end"},
        Refused{"actions=output(vm1", "column 15: the parenthesis that begins here has no end"},
        Refused{"actions=output(vm1)x", "column 20: a comma or the end is expected after 'vm1'"}));

TEST(Rule, has_at_most_4096_characters) {
  std::string text = "actions=drop";
  text.append(kMaxRuleLength - text.size(), ' ');
  EXPECT_TRUE(parse_rule(text, three_ports()));
  EXPECT_EQ(parse_rule(text + " ", three_ports()).error().message,
            "column 4097: a rule has at most 4096 characters, this has 4097");
}

TEST(Rule, has_at_most_64_actions) {
  std::string text = "actions=vm1";
  for (int i = 1; i < 64; ++i) text += ",vm1";
  EXPECT_TRUE(parse_rule(text, three_ports()));
  EXPECT_EQ(parse_rule(text + ",vm1", three_ports()).error().message, "column 265: a rule has at most 64 actions");
}

TEST(Rule, error_text_is_printable_whatever_the_rule_is) {
  const auto rule = parse_rule("\x01\xff\n=1", three_ports());
  EXPECT_EQ(rule.error().message, "column 1: '\\x01\\xff' is not a field that can be matched" + std::string(kSeeHelp));
}

TEST(Rule, dl_vlan_matches_802_1q_and_802_1ad_alike_but_not_untagged) {
  const auto rule = parse_rule("dl_vlan=0,actions=drop", three_ports());
  FlowKey key{};
  EXPECT_FALSE(matches(*rule, key));
  key.tag_kinds = static_cast<std::uint8_t>(flowtable::TagKind::dot1q);
  EXPECT_TRUE(matches(*rule, key));
  key.tag_kinds = static_cast<std::uint8_t>(flowtable::TagKind::dot1ad);
  EXPECT_TRUE(matches(*rule, key));
  key.outer_tci_be = htons(1);
  EXPECT_FALSE(matches(*rule, key));
}

TEST(Rule, match_alone_names_a_rule_with_and_without_actions) {
  const auto plain = parse_rule_match("priority=7,tcp,tp_dst=22", three_ports());
  const auto with = parse_rule_match("priority=7,tcp,tp_dst=22,actions=vm1", three_ports());
  ASSERT_TRUE(plain && with);
  EXPECT_TRUE(testing::same_rule(*plain, *with));
  EXPECT_EQ(plain->priority, 7);
}

TEST(Packet, has_the_class_of_its_fields) {
  const auto class_of_text = [](const char* text) {
    const auto key = parse_packet(text, three_ports());
    return key ? static_cast<PacketClass>(key->packet_class) : throw std::runtime_error(key.error().message);
  };
  EXPECT_EQ(class_of_text("in_port=vm1"), PacketClass::other);
  EXPECT_EQ(class_of_text("in_port=vm1,arp,arp_op=1"), PacketClass::arp);
  EXPECT_EQ(class_of_text("in_port=vm1,tcp,nw_src=10.0.0.1,tp_dst=80"), PacketClass::ipv4_tcp);
  EXPECT_EQ(class_of_text("in_port=vm1,tcp,ip_frag=first,tp_dst=80"), PacketClass::ipv4_tcp);
  EXPECT_EQ(class_of_text("in_port=vm1,tcp,ip_frag=later"), PacketClass::ipv4_fragment);
  EXPECT_EQ(class_of_text("in_port=vm1,ip,nw_proto=58"), PacketClass::ipv4_other);
  EXPECT_EQ(class_of_text("in_port=vm1,icmp6,icmp_type=135"), PacketClass::ipv6_icmp);
  EXPECT_EQ(class_of_text("in_port=vm1,udp6,ip_frag=later"), PacketClass::ipv6_fragment);
}

TEST(Packet, fields_are_where_the_parser_puts_them) {
  const auto key = parse_packet("in_port=vm2,dl_vlan=5,dl_vlan_pcp=3,udp,nw_dst=10.0.0.9,tp_src=53", three_ports());
  ASSERT_TRUE(key) << key.error().message;
  FlowKey expected{};
  expected.in_port = 2;
  expected.packet_class = static_cast<std::uint8_t>(PacketClass::ipv4_udp);
  expected.tag_kinds = 1;
  expected.outer_tci_be = htons(3U << 13U | 5U);
  expected.ethertype_be = htons(0x0800);
  expected.nw_proto = 17;
  expected.nw_dst = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 10, 0, 0, 9};
  expected.tp_src_be = htons(53);
  EXPECT_TRUE(*key == expected);
}

TEST(Packet, what_cannot_be_is_refused) {
  const auto error = [](const char* text) {
    const auto key = parse_packet(text, three_ports());
    return key ? "accepted" : key.error().message;
  };
  EXPECT_EQ(error("tcp"), "column 4: in_port=... is missing: a packet comes in through a port");
  EXPECT_EQ(error("in_port=vm1,ip,nw_src=10.0.0.0/8"), "column 23: a packet has one nw_src, so there can be no mask");
  EXPECT_EQ(error("in_port=vm1,ip,ip_frag=yes"), "column 24: a packet's ip_frag is no, first or later");
  EXPECT_EQ(error("in_port=vm1,tcp,ip_frag=later,tp_dst=80"),
            "column 31: tp_dst is of a header that later fragments do not have");
  EXPECT_EQ(error("in_port=vm1,actions=drop"), "column 13: actions belongs to a rule, not to a packet");
}

TEST(ReservedWord, is_every_word_of_the_syntax_in_any_case) {
  for (const char* word :
       {"tcp", "NORMAL", "drop", "in_port", "priority", "actions", "mod_nw_src", "tp_dst", "LOCAL"}) {
    EXPECT_TRUE(is_reserved_word(word)) << word;
  }
  for (const char* word : {"vm1", "tcp1", "1", ""}) EXPECT_FALSE(is_reserved_word(word)) << word;
}

}  // namespace
}  // namespace sluice::control
