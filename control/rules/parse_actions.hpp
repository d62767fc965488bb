// parse_actions: what follows "actions=".
#pragma once

#include <vector>

#include "control/error.hpp"
#include "control/rules/field_value.hpp"
#include "control/rules/port_names.hpp"
#include "control/rules/rule.hpp"
#include "control/rules/scanner.hpp"

namespace sluice::control {

/// `match`: what the packets are known to be, since an edit must fit them. Empty for drop.
[[nodiscard]] Expected<std::vector<RuleAction>> parse_actions(Token text, const MatchBits& match,
                                                              const PortNames& ports);

}  // namespace sluice::control
