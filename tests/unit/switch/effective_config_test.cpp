// What becomes of changes made while the switch ran: noted, and brought upon the configuration as it is by then.
#include "control/switch/effective_config.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "control/config/load.hpp"
#include "control/rules/format.hpp"
#include "control/rules/judge.hpp"
#include "control/rules/parse.hpp"
#include "control/rules/rule_table.hpp"
#include "tests/unit/recovery/every_store.hpp"

namespace sluice::test {
namespace {

using control::apply_changes;
using control::Baseline;
using control::Change;
using control::ChangeLogMemory;
using control::Config;
using control::EffectiveConfig;
using control::PortNames;
using control::Rule;
using control::RunTimeChanges;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;
using Lines = std::vector<std::string>;

Config config(const Lines& ports, const Lines& rules = {}) {
  std::string text = "ports:\n";
  for (const std::string& port : ports) text += fmt::format("  - {{name: {}}}\n", port);
  if (!rules.empty()) text += "rules:\n";
  for (const std::string& rule : rules) text += fmt::format("  - {}\n", rule);
  auto read = control::parse_config(text, "switch.yaml");
  EXPECT_TRUE(read) << text << (read ? "" : read.error().lines.front());
  return *read;
}

std::string vm(const std::string& name) { return fmt::format("{0}, type: vhost-user, path: /run/{0}.sock", name); }
std::string words(const std::string& name) { return fmt::format("name={0} type=vhost-user path=/run/{0}.sock", name); }

PortNames names_of(const Config& config) {
  PortNames names;
  for (std::size_t i = 0; i < config.ports.size(); ++i) names.add(config.ports[i].name, static_cast<std::uint16_t>(i));
  return names;
}

/// In the order in which they are considered.
Lines rules_of(const Config& config) {
  const PortNames names = names_of(config);
  auto rules = control::judge_rules(config.rules, names);
  EXPECT_TRUE(rules) << rules.error().front();
  control::RuleTable table;
  for (Rule& rule : *rules) table.add(std::move(rule));
  Lines lines;
  for (const auto& [place, rule] : table.rules()) lines.push_back(control::format_rule(rule, names));
  return lines;
}

Lines ports_of(const Config& config) {
  Lines names;
  for (const auto& port : config.ports) names.push_back(port.name);
  return names;
}

/// A switch with a configuration, as its operator changes it.
class Operator {
 public:
  explicit Operator(const Config& loaded) : loaded_(loaded), base_(loaded), changes_(*memory_) {}

  void rule(const std::string& text, bool deleted = false) {
    const PortNames names = names_of(now().config);
    const auto rule = deleted ? control::parse_rule_match(text, names) : control::parse_rule(text, names);
    ASSERT_TRUE(rule) << rule.error().message;
    const std::string key = control::rule_key(*rule, names);
    EXPECT_TRUE(changes_.note(Change::Kind::rule, key, base_.rule(key),
                              deleted ? std::nullopt : std::optional(control::format_rule(*rule, names))));
  }
  void no_rule(const std::string& text) { rule(text, true); }
  void port(const std::string& name, std::optional<std::string> text) {
    EXPECT_TRUE(changes_.note(Change::Kind::port, name, base_.port(name), std::move(text)));
  }
  /// As the next worker has it, with the same configuration or another.
  EffectiveConfig now() const { return with(loaded_); }
  EffectiveConfig with(const Config& loaded) const {
    RunTimeChanges next(*memory_);
    next.read();
    EXPECT_EQ(next.all(), changes_.all());
    return apply_changes(loaded, next.all());
  }
  RunTimeChanges& changes() { return changes_; }

 private:
  Shared<ChangeLogMemory> memory_;
  Config loaded_;
  Baseline base_;
  RunTimeChanges changes_;
};

TEST(EffectiveConfig, a_next_worker_has_the_rules_that_the_last_one_had_in_their_order) {
  const Lines candidates{"tcp",       "udp",           "icmp",         "ip", "arp", "priority=5,tcp", "priority=5,udp",
                         "in_port=a", "in_port=b,tcp", "priority=9,ip"};
  for (unsigned seed = 0; seed < 200; ++seed) {
    std::mt19937 random(seed);
    Lines configured;
    for (const auto& match : candidates) {
      if (random() % 2 == 0) configured.push_back(match + ",actions=drop");
    }
    const Config loaded = config({vm("a"), vm("b")}, configured);
    const PortNames names = names_of(loaded);
    control::RuleTable model;
    auto judged = control::judge_rules(loaded.rules, names);
    for (Rule& rule : *judged) model.add(std::move(rule));
    Operator op(loaded);
    for (unsigned i = 0; i < 20; ++i) {
      const std::string& match = candidates[random() % candidates.size()];
      if (random() % 2 == 0) {
        const std::string text = match + (random() % 2 == 0 ? ",actions=drop" : ",actions=normal");
        op.rule(text);
        model.add(*control::parse_rule(text, names));
      } else {
        const auto rule = *control::parse_rule_match(match, names);
        op.no_rule(match);
        model.remove(rule.priority, rule.value, rule.mask);
      }
    }
    Lines expected;
    for (const auto& [place, rule] : model.rules()) expected.push_back(control::format_rule(rule, names));
    const EffectiveConfig now = op.now();
    ASSERT_EQ(rules_of(now.config), expected) << "seed " << seed;
    EXPECT_THAT(now.dropped, IsEmpty());
    EXPECT_EQ(now.standing, op.changes().all());
    EXPECT_LE(op.changes().all().size(), candidates.size()) << "no more than there is to say";
  }
}

TEST(EffectiveConfig, ports_that_were_added_are_there_and_those_deleted_are_not) {
  Operator op(config({vm("a"), vm("b")}));
  op.port("c", words("c") + " mtu=9000");
  op.port("a", {});
  EXPECT_THAT(ports_of(op.now().config), ElementsAre("b", "c"));
  EXPECT_EQ(op.now().config.ports[1].mtu, 9000);
  op.rule("in_port=c,actions=output:b");
  EXPECT_THAT(rules_of(op.now().config), ElementsAre("in_port=c actions=output:b"));
  op.no_rule("in_port=c");
  op.port("c", {});
  op.port("a", op.changes().all().front().was);
  EXPECT_THAT(op.changes().all(), IsEmpty()) << "all is as it was";
}

TEST(EffectiveConfig, a_port_may_be_gone_or_another_whose_rule_is_gone_or_back_again) {
  const Config loaded = config({vm("a"), vm("b")}, {"in_port=b,tcp,actions=drop"});
  Operator one(loaded);
  one.no_rule("in_port=b,tcp");
  one.port("b", std::nullopt);
  EXPECT_THAT(one.now().dropped, IsEmpty());
  EXPECT_THAT(ports_of(one.now().config), ElementsAre("a"));
  one.port("b", "name=b type=vhost-user path=/run/other.sock");
  one.rule("in_port=b,tcp,actions=drop");
  const EffectiveConfig now = one.now();
  EXPECT_THAT(now.dropped, IsEmpty());
  EXPECT_THAT(ports_of(now.config), ElementsAre("a", "b"));
  EXPECT_EQ(now.config.ports[1].vhost_user->path, "/run/other.sock");
  EXPECT_THAT(rules_of(now.config), ElementsAre("tcp,in_port=b actions=drop"));
}

TEST(EffectiveConfig, a_change_that_the_configuration_has_come_to_is_none_any_more) {
  Operator op(config({vm("a"), vm("b")}, {"tcp,actions=drop"}));
  op.rule("udp,actions=drop");
  op.no_rule("tcp");
  op.port("c", words("c"));
  op.port("b", {});
  const EffectiveConfig now = op.with(config({vm("a"), vm("c")}, {"udp,actions=drop"}));
  EXPECT_THAT(now.standing, IsEmpty());
  EXPECT_THAT(now.dropped, IsEmpty());
  EXPECT_THAT(ports_of(now.config), ElementsAre("a", "c"));
  EXPECT_THAT(rules_of(now.config), ElementsAre("udp actions=drop"));
}

TEST(EffectiveConfig, changes_that_stand_no_more_stay_until_nobody_can_need_them_and_for_good_if_they_are_made_again) {
  Operator op(config({vm("a"), vm("b")}, {"tcp,actions=drop"}));
  op.rule("udp,actions=drop");
  op.no_rule("tcp");
  op.rule("arp,actions=drop");
  op.port("c", words("c"));
  op.port("b", {});
  const auto all = op.changes().all();
  ASSERT_EQ(all.size(), 5U);
  const EffectiveConfig now = op.with(config({vm("a"), vm("c")}, {"udp,actions=drop"}));
  ASSERT_EQ(now.standing, std::vector{all[2]}) << "of arp";
  op.changes().stand_only(now.standing);
  EXPECT_EQ(op.changes().all(), all);
  ASSERT_TRUE(op.changes().note(Change::Kind::port, "c", {}, "another"));
  op.changes().fell(Change::Kind::port, "b");
  ASSERT_TRUE(op.changes().forget_fallen());
  const auto is_key = [](const char* key) { return testing::Field(&Change::key, HasSubstr(key)); };
  EXPECT_THAT(op.changes().all(), ElementsAre(is_key("arp"), is_key("c")));
  op.now();  // and so for the next worker
  ASSERT_TRUE(op.changes().forget_fallen());
  EXPECT_EQ(op.changes().all().size(), 2U) << "once";
}

TEST(EffectiveConfig, rules_that_are_all_replaced_stand_and_what_stands_no_more_stays_as_long_as_ever) {
  Operator op(config({vm("a"), vm("b")}, {"tcp,actions=drop"}));
  op.rule("udp,actions=drop");
  op.rule("arp,actions=drop");
  op.rule("icmp,actions=drop");
  op.port("c", words("c"));
  const auto all = op.changes().all();
  op.changes().stand_only({all[1]});
  const std::vector<Change> deleted{{Change::Kind::rule, "tcp", "tcp actions=drop", {}, false},
                                    {Change::Kind::rule, all[2].key, "icmp actions=normal", {}, false}};
  ASSERT_TRUE(op.changes().replace_rules(deleted));
  EXPECT_THAT(op.changes().all(), ElementsAre(all[0], all[3], deleted[0], deleted[1])) << "arp was added, and is gone";
  ASSERT_TRUE(op.changes().forget_fallen());
  EXPECT_THAT(op.changes().all(), ElementsAre(deleted[0], deleted[1]));
  op.now();
}

TEST(EffectiveConfig, a_change_begins_from_the_configuration_where_what_was_changed_before_stands_no_more) {
  Operator op(config({vm("a"), vm("b")}, {"tcp,actions=drop"}));
  op.no_rule("tcp");
  op.rule("udp,actions=drop");
  const auto all = op.changes().all();
  op.changes().stand_only({});
  ASSERT_TRUE(op.changes().note(Change::Kind::rule, all[1].key, all[1].now, all[1].now))
      << "as it is configured by now";
  EXPECT_EQ(op.changes().all(), all);
  ASSERT_TRUE(op.changes().note(Change::Kind::rule, all[0].key, "tcp actions=normal", "tcp actions=drop"));
  ASSERT_TRUE(op.changes().forget_fallen());
  ASSERT_EQ(op.changes().all().size(), 1U);
  EXPECT_FALSE(op.changes().all()[0].anew) << "it is replaced where it stands";
  op.now();
}

TEST(EffectiveConfig, where_the_configuration_has_become_something_else_it_counts_and_that_is_told) {
  Operator op(config({vm("a"), vm("b")}, {"tcp,actions=drop"}));
  op.rule("udp,actions=drop");
  op.no_rule("tcp");
  op.port("c", words("c"));
  op.port("b", {});
  const EffectiveConfig now = op.with(config({vm("a"), vm("b") + ", mtu: 2000", vm("c") + ", mtu: 3000"},
                                             {"udp,actions=normal", "tcp,actions=normal"}));
  EXPECT_THAT(now.standing, IsEmpty());
  EXPECT_THAT(now.dropped,
              UnorderedElementsAre(
                  HasSubstr("rule 'udp actions=drop', which was added while the switch ran: the change is dropped: the "
                            "configuration has another of its own by now"),
                  HasSubstr("rule 'tcp actions=drop', which was deleted"), HasSubstr("port 'c', which was added"),
                  HasSubstr("port 'b', which was deleted")));
  EXPECT_THAT(ports_of(now.config), ElementsAre("a", "b", "c"));
  EXPECT_THAT(rules_of(now.config), ElementsAre("udp actions=normal", "tcp actions=normal"));
}

TEST(EffectiveConfig, a_change_that_cannot_be_any_more_is_dropped_by_name) {
  Operator op(config({vm("a"), vm("b")}, {"in_port=a,actions=drop"}));
  op.port("c", words("c"));
  op.rule("in_port=b,actions=output:c");
  op.port("d", "name=d type=vhost-user path=/run/e.sock");
  op.no_rule("in_port=a");
  op.port("a", {});
  // b is gone, somebody else is where d was, and a is named by another rule.
  const EffectiveConfig now =
      op.with(config({vm("a"), vm("e")}, {"in_port=a,actions=drop", "in_port=a,tcp,actions=drop"}));
  EXPECT_THAT(now.dropped,
              UnorderedElementsAre(HasSubstr("rule 'in_port=b actions=output:c'"),
                                   AllOf(HasSubstr("port 'd'"), HasSubstr("path /run/e.sock is port 'e''s")),
                                   AllOf(HasSubstr("port 'a'"), HasSubstr("in_port=a"))));
  EXPECT_THAT(ports_of(now.config), ElementsAre("a", "e", "c"));
  EXPECT_THAT(rules_of(now.config), ElementsAre("tcp,in_port=a actions=drop"));
  EXPECT_EQ(now.standing.size(), 2U);
}

TEST(EffectiveConfig, a_port_whose_replacement_cannot_be_is_as_it_is_configured) {
  Operator op(config({vm("a"), vm("b")}));
  op.port("a", "name=a type=vhost-user path=/run/x.sock");
  EXPECT_EQ(op.now().config.ports.back().vhost_user->path, "/run/x.sock");
  const EffectiveConfig now = op.with(config({vm("a"), vm("x")}));
  EXPECT_THAT(now.dropped, ElementsAre(HasSubstr("port 'a', which was replaced")));
  EXPECT_THAT(ports_of(now.config), UnorderedElementsAre("a", "x"));
}

TEST(RunTimeChanges, what_is_noted_stays_small_however_often_it_changes) {
  Operator op(config({vm("a")}));
  for (unsigned i = 0; i < 1'000; ++i) {
    op.rule("tcp,actions=drop");
    op.no_rule("tcp");
  }
  EXPECT_THAT(op.changes().all(), IsEmpty());
  EXPECT_GT(op.changes().mark().version, 0U) << "it was written anew";
}

}  // namespace
}  // namespace sluice::test
