// ovs-ofctl as the second opinion: what we write, Open vSwitch reads as the same; what we refuse, it refuses.
// (Debian: openvswitch-common. No switch runs; ovs-ofctl parse-flows only reads and prints.)
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "control/rules/format.hpp"
#include "control/rules/parse.hpp"
#include "tests/unit/rules/random_rule.hpp"

namespace sluice::control {
namespace {

using flowtable::ActionKind;

// One flow a line.
class FlowFile {
 public:
  explicit FlowFile(const std::vector<std::string>& flows) {
    const int fd = mkstemp(path_.data());
    if (fd >= 0) close(fd);
    std::ofstream file(path_);
    for (const auto& flow : flows) file << flow << '\n';
  }
  ~FlowFile() { std::remove(path_.c_str()); }
  FlowFile(const FlowFile&) = delete;
  FlowFile& operator=(const FlowFile&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_ = "/tmp/sluice-flows-XXXXXX";
};

struct Opinion {
  bool accepted = false;
  std::vector<std::string> flows;  ///< as OVS prints them
};

Opinion ask_ovs(const std::string& protocol, const std::vector<std::string>& flows) {
  const FlowFile file(flows);
  Opinion opinion;
  FILE* pipe = popen(("ovs-ofctl -O " + protocol + " parse-flows " + file.path() + " 2>/dev/null").c_str(), "r");
  if (pipe == nullptr) return opinion;
  std::array<char, 8192> line{};
  while (std::fgets(line.data(), line.size(), pipe) != nullptr) {
    // "OFPT_FLOW_MOD (xid=0x1): ADD priority=7,tcp actions=drop"
    std::string text = line.data();
    const std::size_t at = text.find(": ADD ");
    if (at != std::string::npos) opinion.flows.push_back(text.substr(at + 6));
  }
  opinion.accepted = pclose(pipe) == 0;
  return opinion;
}

bool has(const Rule& rule, std::initializer_list<ActionKind> kinds) {
  return std::ranges::any_of(rule.actions, [&](const RuleAction& action) {
    return action.kind == RuleAction::Kind::edit && std::ranges::find(kinds, action.action.kind) != kinds.end();
  });
}

std::vector<Rule> random_rules(unsigned seed, std::size_t n, const std::function<bool(const Rule&)>& wanted) {
  testing::Random random(seed);
  std::vector<Rule> rules;
  while (rules.size() < n) {
    if (Rule rule = testing::random_rule(random); wanted(rule)) rules.push_back(std::move(rule));
  }
  return rules;
}

// Rules through OVS and back.
void expect_the_same_from_ovs(const std::string& protocol, const std::vector<Rule>& rules,
                              const std::function<bool(const Rule&, const Rule&)>& same) {
  const auto ports = testing::numbered_ports();
  std::vector<std::string> texts;
  for (const auto& rule : rules) texts.push_back(format_rule(rule, ports));
  const auto opinion = ask_ovs(protocol, texts);
  ASSERT_TRUE(opinion.accepted) << "ovs-ofctl (package openvswitch-common) is not there, or it refused the flow after "
                                << (opinion.flows.empty() ? "none" : opinion.flows.back());
  ASSERT_EQ(opinion.flows.size(), rules.size());
  for (std::size_t i = 0; i < rules.size(); ++i) {
    const auto again = parse_rule(opinion.flows[i], ports);
    ASSERT_TRUE(again) << opinion.flows[i] << again.error().message;
    EXPECT_TRUE(same(rules[i], *again)) << texts[i] << "\n" << opinion.flows[i] << again->text;
  }
}

TEST(Ovs, reads_the_same_match) {
  auto rules = random_rules(5, 1000, [](const Rule&) { return true; });
  for (auto& rule : rules) rule.actions.clear();
  expect_the_same_from_ovs("OpenFlow10", rules, testing::same_rule);
}

// OpenFlow 1.3 says everything as set_field, but pushes a tag in front of what sets one, has no edits of ARP,
// and takes off only a tag that the match asks for, and pushes no third one.
TEST(Ovs, reads_the_same_actions) {
  const auto rules = random_rules(6, 500, [](const Rule& rule) {
    const bool arp = rule.value.ethertype_be == 0x0608;
    const auto pushes = std::ranges::count_if(rule.actions, [](const RuleAction& action) {
      return action.kind == RuleAction::Kind::edit && action.action.kind == ActionKind::push_vlan;
    });
    return pushes < 2 && !has(rule, {ActionKind::set_vlan_vid, ActionKind::set_vlan_pcp, ActionKind::pop_vlan}) &&
           !(arp && has(rule, {ActionKind::set_nw_src, ActionKind::set_nw_dst}));
  });
  expect_the_same_from_ovs("OpenFlow13", rules, [](const Rule& a, const Rule& b) { return a.actions == b.actions; });
}

// OpenFlow 1.0 knows neither push_vlan nor fields that it has no mod_ action for.
TEST(Ovs, reads_the_same_actions_of_openflow_1_0) {
  const auto rules = random_rules(7, 500, [](const Rule& rule) {
    const bool icmp = rule.mask.nw_proto != 0 && (rule.value.nw_proto == 1 || rule.value.nw_proto == 58);
    return !has(rule, {ActionKind::push_vlan, ActionKind::set_ipv6_src, ActionKind::set_ipv6_dst}) &&
           !(icmp && has(rule, {ActionKind::set_tp_src, ActionKind::set_tp_dst}));
  });
  expect_the_same_from_ovs("OpenFlow10", rules, testing::same_rule);
}

class RefusedByBoth : public ::testing::TestWithParam<const char*> {};

TEST_P(RefusedByBoth, is_refused_by_both) {
  EXPECT_FALSE(parse_rule(GetParam(), testing::numbered_ports()));
  EXPECT_FALSE(ask_ovs("OpenFlow10", {GetParam()}).accepted);
}

INSTANTIATE_TEST_SUITE_P(
    Ovs, RefusedByBoth,
    ::testing::Values("tcp", "tcp,actions=drop,2", "tcp,actions=2,drop", "priority=65536,actions=drop",
                      "priority=-1,actions=drop", "tpc,actions=drop", "tcp,tp_dst=70000,actions=drop",
                      "tcp,tp_dst=x,actions=drop", "in_port=nobody,actions=drop", "actions=nobody",

                      "ip,nw_src=10.0.0.0/33,actions=drop", "ipv6,ipv6_src=fe80:::1,actions=drop",
                      "ipv6,ipv6_src=::/129,actions=drop", "dl_src=1:2:3:4:5,actions=drop",
                      "dl_src=1:2:3:4:5:g,actions=drop", "ip,ip_frag=maybe,actions=drop", "dl_vlan=x,actions=drop",
                      "ip,nw_proto=256,actions=drop", "icmp,icmp_type=256,actions=drop", "actions=mod_vlan_vid:4096",
                      "actions=mod_vlan_pcp:8", "ip,actions=mod_nw_tos:3", "ip,actions=mod_nw_tos:256",
                      "ip,actions=mod_nw_src:10.0.0", "actions=mod_dl_src:1:2:3", "tcp,actions=mod_tp_src:65536",
                      "actions=push_vlan:0x9100", "ip,actions=set_field:1", "ip,actions=set_field:10.0.0.1->nobody",
                      "ip,actions=set_field:10.0.0->ip_src", "actions=output", "dl_vlan_pcp=x,actions=drop"));

}  // namespace
}  // namespace sluice::control
