// bridge_reads: which fields of a packet a decision reads beyond what the rules match, by the port's setting and the
// rule that won. Both the masks and DecisionInputs come from here, so that they cannot disagree.
#pragma once

#include "control/config/config.hpp"
#include "control/rules/rule.hpp"
#include "flowtable/flow_key.hpp"

namespace sluice::control {

/// What admission of a frame on a port reads.
[[nodiscard]] flowtable::FlowKey admission_reads(const VlanConfig& port);
/// What carrying out a rule reads; `rule` null: no rule matches, which means `normal`. Nothing, if it does not say
/// `normal`.
[[nodiscard]] flowtable::FlowKey rule_reads(const VlanConfig& port, const Rule* rule);

}  // namespace sluice::control
