#include "control/rules/rule.hpp"

#include <algorithm>

namespace sluice::control {

bool names_port(const Rule& rule, flowtable::PortId port) {
  if (rule.mask.in_port != 0 && rule.value.in_port == port) return true;
  return std::any_of(rule.actions.begin(), rule.actions.end(), [port](const RuleAction& a) {
    return a.kind == RuleAction::Kind::edit && a.action.kind == flowtable::ActionKind::output && a.action.value == port;
  });
}

}  // namespace sluice::control
