// judge: all rules of a configuration, or everything that is wrong with them, each with its place in the file.
#pragma once

#include <string>
#include <vector>

#include <tl/expected.hpp>

#include "control/config/config.hpp"
#include "control/rules/port_names.hpp"
#include "control/rules/rule.hpp"

namespace sluice::control {

/// The rules in their order, or a line for each that is wrong: "switch.yaml:12:27: rule '…': …". The column is that of
/// the fault in the file, unless the rule is written over several lines or with escapes; then it is that of the rule,
/// and the column in the rule's text follows.
[[nodiscard]] tl::expected<std::vector<Rule>, std::vector<std::string>> judge_rules(const std::vector<RuleText>& texts,
                                                                                    const PortNames& ports);

}  // namespace sluice::control
