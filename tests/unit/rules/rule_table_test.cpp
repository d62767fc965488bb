// The rule table's order and its winner, against a list that is read from top to bottom.
#include "control/rules/rule_table.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <list>
#include <set>

#include "control/rules/parse.hpp"
#include "tests/unit/rules/random_rule.hpp"

namespace sluice::control {
namespace {

using flowtable::FlowKey;

// What the table is to be, as simply as it can be said.
class Reference {
 public:
  void add(const Rule& rule) {
    const auto same = find(rule);
    if (same != rules_.end()) {
      *same = rule;
    } else {
      rules_.push_back(rule);
    }
  }
  bool remove(const Rule& rule) {
    const auto same = find(rule);
    if (same == rules_.end()) return false;
    rules_.erase(same);
    return true;
  }
  [[nodiscard]] const Rule* match(const FlowKey& key) const {
    const Rule* winner = nullptr;
    for (const auto& rule : rules_) {
      if (matches(rule, key) && (winner == nullptr || rule.priority > winner->priority)) winner = &rule;
    }
    return winner;
  }
  [[nodiscard]] std::size_t size() const { return rules_.size(); }
  [[nodiscard]] const Rule& at(std::size_t i) const {
    return *std::next(rules_.begin(), static_cast<std::ptrdiff_t>(i));
  }

 private:
  std::list<Rule>::iterator find(const Rule& rule) {
    return std::ranges::find_if(rules_, [&](const Rule& other) {
      return other.priority == rule.priority && other.value == rule.value && other.mask == rule.mask;
    });
  }
  std::list<Rule> rules_;
};

FlowKey any_key(testing::Random& random) {
  return testing::random_key(random, testing::random_class(random),
                             static_cast<flowtable::PortId>(testing::below(random, testing::kPorts)));
}

TEST(RuleTable, winner_is_that_of_a_list_read_from_top_to_bottom) {
  testing::Random random(2);
  int won = 0;
  for (int round = 0; round < 60; ++round) {
    RuleTable table;
    Reference reference;
    const unsigned steps = 1 + testing::below(random, 150);
    for (unsigned step = 0; step < steps; ++step) {
      if (reference.size() > 0 && testing::one_in(random, 3)) {
        const Rule rule = reference.at(testing::below(random, static_cast<unsigned>(reference.size())));
        EXPECT_TRUE(reference.remove(rule));
        EXPECT_NE(table.remove(rule.priority, rule.value, rule.mask), 0U);
      } else {
        // Now and then one that is there already, with other actions.
        Rule rule = testing::random_rule(random);
        if (reference.size() > 0 && testing::one_in(random, 4)) {
          const auto actions = rule.actions;
          rule = reference.at(testing::below(random, static_cast<unsigned>(reference.size())));
          rule.actions = actions;
        }
        reference.add(rule);
        table.add(rule);
      }
      ASSERT_EQ(table.size(), reference.size());
      for (int i = 0; i < 8; ++i) {
        const FlowKey key = any_key(random);
        const Rule* winner = table.match(key);
        const Rule* expected = reference.match(key);
        ASSERT_EQ(winner == nullptr, expected == nullptr);
        if (winner == nullptr) continue;
        ++won;
        ASSERT_TRUE(testing::same_rule(*winner, *expected));
        ASSERT_EQ(table.find(winner->id), winner);
      }
    }
  }
  EXPECT_GT(won, 1000) << "rules and packets must meet, or nothing was tested";
}

TEST(RuleTable, of_equals_the_one_added_first_wins_even_when_it_was_replaced) {
  const auto ports = testing::numbered_ports();
  RuleTable table;
  const auto first = table.add(parse_rule("tcp,actions=drop", ports).value());
  const auto first_id = first.rule->id;
  table.add(parse_rule("in_port=1,actions=normal", ports).value());
  const auto again = table.add(parse_rule("tcp,actions=flood", ports).value());
  EXPECT_EQ(again.replaced, first_id);
  EXPECT_NE(again.rule->id, first_id);
  EXPECT_EQ(table.find(first_id), nullptr);
  const auto key = parse_packet("in_port=1,tcp", ports).value();
  EXPECT_EQ(table.match(key), again.rule);
}

TEST(RuleTable, order_is_by_priority_then_by_age) {
  const auto ports = testing::numbered_ports();
  RuleTable table;
  for (const char* text : {"priority=1,tcp,actions=drop", "priority=9,ip,actions=drop", "priority=1,udp,actions=drop",
                           "priority=65535,arp,actions=drop"}) {
    table.add(parse_rule(text, ports).value());
  }
  std::vector<std::string> texts;
  for (const auto& [place, rule] : table.rules()) texts.push_back(rule.text);
  EXPECT_EQ(texts, (std::vector<std::string>{"priority=65535,arp actions=drop", "priority=9,ip actions=drop",
                                             "priority=1,tcp actions=drop", "priority=1,udp actions=drop"}));
}

TEST(RuleTable, id_is_never_used_twice) {
  const auto ports = testing::numbered_ports();
  RuleTable table;
  std::set<std::uint64_t> ids;
  for (int i = 0; i < 10; ++i) {
    const auto added = table.add(parse_rule("tcp,actions=drop", ports).value());
    EXPECT_TRUE(ids.insert(added.rule->id).second);
    if (i % 3 == 0) table.clear();
  }
}

TEST(RuleTable, removing_is_strict) {
  const auto ports = testing::numbered_ports();
  RuleTable table;
  table.add(parse_rule("priority=5,tcp,tp_dst=22,actions=drop", ports).value());
  const auto remove = [&](const char* text) {
    const auto rule = parse_rule_match(text, ports).value();
    return table.remove(rule.priority, rule.value, rule.mask);
  };
  EXPECT_EQ(remove("priority=5,tcp"), 0U);
  EXPECT_EQ(remove("tcp,tp_dst=22"), 0U);
  EXPECT_EQ(remove("priority=5,tcp,tp_dst=23"), 0U);
  EXPECT_NE(remove("priority=5,tcp,tp_dst=22"), 0U);
  EXPECT_EQ(table.size(), 0U);
  EXPECT_TRUE(table.groups().empty());
}

}  // namespace
}  // namespace sluice::control
