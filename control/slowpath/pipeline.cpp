#include "control/slowpath/pipeline.hpp"

#include <cassert>
#include <utility>

#include "control/rules/class_mask.hpp"
#include "control/rules/packet_class.hpp"
#include "control/slowpath/bridge_reads.hpp"

namespace sluice::control {
namespace {

using flowtable::Action;
using flowtable::ActionKind;
using flowtable::FlowKey;
using flowtable::PacketClass;
using flowtable::PortId;
using ports::DropReason;

std::uint16_t host_order(std::uint16_t be) { return static_cast<std::uint16_t>(be << 8U | be >> 8U); }

/// `line()` is what is said: made only if somebody listens.
template <typename Line>
void say(Trace* trace, Line line) {
  if (trace != nullptr) trace->push_back(line());
}

Action output(PortId port) { return {.kind = ActionKind::output, .value = port}; }

/// Leaves only what makes a difference: nothing behind the last output, and a drop if there is none.
void finish(Outcome& outcome, DropReason reason, Trace* trace) {
  auto& actions = outcome.actions;
  while (!actions.empty() && actions.back().kind != ActionKind::output) actions.pop_back();
  if (!actions.empty()) return;
  actions.push_back({.kind = ActionKind::drop, .value = static_cast<std::uint16_t>(reason)});
  if (trace != nullptr)
    trace->push_back("dropped: " + std::string(name(reason)) + ", " + std::string(explanation(reason)));
}

void say_admitted(Trace* trace, const BridgePort& port, const Admission& admission) {
  if (trace == nullptr) return;
  static constexpr const char* kFraming[] = {"an untagged frame", "a priority-tagged frame", "a tagged frame"};
  const char* framing = reads_tags(port.vlan) ? kFraming[static_cast<std::size_t>(admission.framing)] : "any frame";
  trace->push_back("port " + port.name + ": " + framing + " is in VLAN " + std::to_string(admission.vlan));
}

/// Whether a rule that could match such a packet matches them all: rules behind it do not matter then.
bool matches_all(const Rule& rule, PacketClass packet_class) {
  FlowKey certain = class_facts(packet_class).mask;
  certain.in_port = flowtable::kNoPort;  // all ones
  return flowtable::masked(rule.mask, certain) == rule.mask;
}

}  // namespace

Pipeline::Pipeline(const PortTable& ports, const RuleBook& rules, const Fdb& fdb, bool flood_unknown)
    : ports_(ports), rules_(rules), bridge_{&ports, &fdb, flood_unknown} {}

DecisionInputs Pipeline::inputs(const FlowKey& key, Trace* trace) const {
  DecisionInputs inputs{};
  inputs.in_port = key.in_port;
  const BridgePort& port = *ports_.find(key.in_port);
  const Tag outer{key.outer_tag(), host_order(key.outer_tci_be)};
  const auto admission = admit(port.vlan, outer);
  if (!admission) {
    say(trace, [&] { return "port " + port.name + ": " + why_refused(port.vlan, outer); });
    inputs.rule = kRefused;
    return inputs;
  }
  say_admitted(trace, port, *admission);
  const Rule* rule = rules_.match(key);
  say(trace, [&] { return rule != nullptr ? "rule: " + rule->text : "no rule matches: normal"; });
  inputs.rule = rule != nullptr ? rule->id : kNoRule;
  const FlowKey reads = rule_reads(port.vlan, rule);
  inputs.tag_kinds = key.tag_kinds & reads.tag_kinds;
  inputs.outer_tci = host_order(key.outer_tci_be & reads.outer_tci_be);
  inputs.inner_tci = host_order(key.inner_tci_be & reads.inner_tci_be);
  // Addresses are read whole or not at all.
  if (reads.dl_dst != flowtable::MacAddress{}) inputs.dl_dst = key.dl_dst;
  if (reads.dl_src != flowtable::MacAddress{}) inputs.dl_src = key.dl_src;
  return inputs;
}

Outcome Pipeline::decide(const DecisionInputs& inputs, Trace* trace) const {
  Outcome outcome;
  Headers headers(inputs);
  std::optional<DropReason> reason;
  if (inputs.rule == kRefused) {
    reason = DropReason::vlan_not_allowed;
  } else if (inputs.rule == kNoRule) {
    reason = bridge(bridge_, inputs.in_port, headers, false, outcome, trace);
  } else {
    const Rule* rule = rules_.find(inputs.rule);
    assert(rule != nullptr);
    reason = carry_out(*rule, inputs.in_port, headers, outcome, trace);
  }
  finish(outcome, reason.value_or(DropReason::rule_no_output), trace);
  return outcome;
}

std::optional<DropReason> Pipeline::carry_out(const Rule& rule, PortId in_port, Headers& headers, Outcome& outcome,
                                              Trace* trace) const {
  if (rule.actions.empty()) return DropReason::rule;
  std::optional<DropReason> reason;
  for (const auto& step : rule.actions) {
    switch (step.kind) {
      case RuleAction::Kind::normal: {
        const bool more = &step != &rule.actions.back();
        const auto why = bridge(bridge_, in_port, headers, more, outcome, trace);
        if (!reason) reason = why;
        break;
      }
      case RuleAction::Kind::flood: flood(in_port, outcome); break;
      case RuleAction::Kind::in_port: outcome.actions.push_back(output(in_port)); break;
      case RuleAction::Kind::edit:
        if (step.action.kind != ActionKind::output) {
          headers.apply(step.action);
          outcome.actions.push_back(step.action);
          break;
        }
        outcome.dependencies.push_back({Dependency::Kind::ports});
        if (step.action.value == in_port) {
          say(trace, [] { return "output to the in-port does nothing"; });
        } else if (ports_.find(step.action.value) == nullptr) {
          say(trace, [] { return "output to a port that is gone"; });
          if (!reason) reason = DropReason::port_gone;
        } else {
          outcome.actions.push_back(step.action);
        }
        break;
    }
  }
  return reason;
}

void Pipeline::flood(PortId in_port, Outcome& outcome) const {
  outcome.dependencies.push_back({Dependency::Kind::ports});
  for (const PortId id : ports_.ids()) {
    if (id != in_port) outcome.actions.push_back(output(id));
  }
}

FlowKey Pipeline::mask(PortId port, PacketClass packet_class) const {
  const auto* settings = ports_.find(port);
  const VlanConfig vlan = settings != nullptr ? settings->vlan : VlanConfig{};
  FlowKey base = admission_reads(vlan);
  bool always_matched = false;
  for (const auto& [place, rule] : rules_.table().rules()) {
    if (!could_match(rule, packet_class, port)) continue;
    base = flowtable::merged(base, rule_reads(vlan, &rule));
    always_matched = matches_all(rule, packet_class);
    if (always_matched) break;
  }
  if (!always_matched) base = flowtable::merged(base, rule_reads(vlan, nullptr));
  return class_mask(packet_class, port, rules_.table(), base);
}

}  // namespace sluice::control
