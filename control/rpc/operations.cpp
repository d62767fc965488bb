// Operations of a real switch. See operations.hpp.
#include "control/rpc/operations.hpp"

#include "control/config/load.hpp"

namespace sluice::control {

Operations operations_of(Switch& s) {
  using Flows = std::pair<std::vector<FlowReport>, std::size_t>;
  Operations ops;
  ops.status = [&s](Switch::Then<StatusReport> then) { s.status(std::move(then)); };
  ops.ports = [&s] { return s.ports(); };
  ops.drops = [&s] { return s.drops(); };
  ops.pmds = [&s] { return s.pmds(); };
  ops.memory = [&s] { return s.memory(); };
  ops.flows = [&s](std::size_t limit, Switch::Then<Flows> then) { s.flows(limit, std::move(then)); };
  ops.fdb = [&s](Switch::Then<std::vector<FdbReport>> then) { s.fdb(std::move(then)); };
  ops.rules = [&s](Switch::Then<std::vector<RuleReport>> then) { s.rules(std::move(then)); };
  ops.clear_stats = [&s] { s.clear_stats(); };
  ops.flush_fdb = [&s](const auto& port, auto then) { s.flush_fdb(port, std::move(then)); };
  ops.add_rule = [&s](const auto& text, auto then) { s.add_rule(text, std::move(then)); };
  ops.delete_rules = [&s](const auto& text, auto then) { s.delete_rules(text, std::move(then)); };
  ops.add_port = [&s](const auto& port, auto then) { s.add_port(port, std::move(then)); };
  ops.delete_port = [&s](const auto& name, auto then) { s.delete_port(name, std::move(then)); };
  ops.trace = [&s](const auto& packet, auto then) { s.trace(packet, std::move(then)); };
  ops.set_log_level = [&s](const auto& level) { return s.set_log_level(level); };
  ops.parse_port = [](const auto& text) { return parse_port(text); };
  return ops;
}

}  // namespace sluice::control
