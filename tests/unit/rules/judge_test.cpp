// A configuration's rules, all at once: each that is wrong is told, with its place.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/rules/judge.hpp"

namespace sluice::control {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<RuleText> at_lines(const std::vector<std::string>& texts) {
  std::vector<RuleText> rules;
  for (const std::string& text : texts) {
    const std::string line = "s.yaml:" + std::to_string(rules.size() + 1);
    rules.push_back({text, line + ":5", line, 5});
  }
  return rules;
}

PortNames one_port() {
  PortNames names;
  names.add("vm1", 1);
  return names;
}

TEST(Judge, every_rule_that_is_wrong_is_told_with_its_place) {
  const auto judged =
      judge_rules(at_lines({"ip,actions=dropp", "ip,actions=drop", "in_port=vm9,actions=drop"}), one_port());
  ASSERT_FALSE(judged);
  EXPECT_THAT(judged.error(),
              ElementsAre(HasSubstr("s.yaml:1:16: rule 'ip,actions=dropp': "), HasSubstr("s.yaml:3:13: ")));
}

TEST(Judge, a_rule_that_another_would_replace_is_told_with_the_place_of_that) {
  const auto judged = judge_rules(
      at_lines({"priority=5,ip,actions=drop", "priority=6,ip,actions=normal", "ip,priority=5,actions=output:vm1"}),
      one_port());
  ASSERT_FALSE(judged);
  EXPECT_THAT(judged.error(),
              ElementsAre(HasSubstr("s.yaml:3:5: rule 'ip,priority=5,actions=output:vm1': priority and match "
                                    "are those of 'priority=5,ip,actions=drop', at s.yaml:1:5")));
}

TEST(Judge, rules_that_differ_in_a_mask_or_a_priority_alone_are_two) {
  const auto judged = judge_rules(at_lines({"ip,nw_src=10.0.0.0/8,actions=drop", "ip,nw_src=10.0.0.0/9,actions=drop",
                                            "priority=1,ip,nw_src=10.0.0.0/9,actions=drop"}),
                                  one_port());
  ASSERT_TRUE(judged) << judged.error().front();
  EXPECT_EQ(judged->size(), 3U);
}

}  // namespace
}  // namespace sluice::control
