#include "control/slowpath/flow_records.hpp"

#include <algorithm>
#include <cassert>
#include <numeric>

namespace sluice::control {
namespace {

constexpr unsigned kInstalledShift = 20;

}  // namespace

FlowRecords::FlowRecords(std::span<const PmdLink> pmds) : pmds_(pmds), of_pmd_(pmds.size()), counts_(pmds.size()) {
  // Address space only: memory comes as flows do, and nothing is ever copied to grow.
  for (std::size_t i = 0; i < pmds.size(); ++i) of_pmd_[i].reserve(pmds[i].table->capacity());
}

void FlowRecords::add(FlowRef flow, DecisionId decision, DecisionNode& node, RuleBook& rules, std::uint64_t now_ns) {
  auto& records = of_pmd_[pmd_of(flow)];
  if (entry_of(flow) >= records.size()) records.resize(std::size_t{entry_of(flow)} + 1);
  FlowRecord& record = at(flow);
  assert(record.decision == kNoDecision);
  settle(flow, rules, record.rule);
  record.installed = static_cast<std::uint32_t>(now_ns >> kInstalledShift);
  link(flow, decision, node);
  ++counts_[pmd_of(flow)];
}

void FlowRecords::remove(FlowRef flow, DecisionNode& node, RuleBook& rules) {
  settle(flow, rules, node.inputs.rule);
  at(flow).rule = node.inputs.rule;
  unlink(flow, node);
  --counts_[pmd_of(flow)];
}

void FlowRecords::move(FlowRef flow, DecisionNode& from, DecisionId to, DecisionNode& node) {
  unlink(flow, from);
  link(flow, to, node);
}

bool FlowRecords::live(FlowRef flow) const {
  const auto& records = of_pmd_[pmd_of(flow)];
  return entry_of(flow) < records.size() && records[entry_of(flow)].decision != kNoDecision;
}

std::size_t FlowRecords::count() const { return std::accumulate(counts_.begin(), counts_.end(), std::size_t{0}); }

std::uint64_t FlowRecords::idle_ns(FlowRef flow, std::uint64_t now_ns) const {
  const auto since = static_cast<std::uint32_t>(now_ns >> kInstalledShift) - record(flow).installed;
  const auto installed = std::uint64_t{since} << kInstalledShift;
  const auto used = entry(flow).used_ns.get();
  // The PMD's clock may be a moment ahead.
  const auto unused = used < now_ns ? now_ns - used : 0;
  return std::min(installed, unused);
}

RuleCounts FlowRecords::counts(FlowRef flow) const {
  const auto& counters = entry(flow);
  const auto& credited = record(flow).credited;
  return {counters.packets.get() - credited.packets, counters.bytes.get() - credited.bytes};
}

void FlowRecords::settle(FlowRef flow, RuleBook& rules, std::uint64_t rule) {
  const auto fresh = counts(flow);
  rules.credit(rule, fresh);
  auto& credited = at(flow).credited;
  credited.packets += fresh.packets;
  credited.bytes += fresh.bytes;
}

void FlowRecords::settle_removed(FlowRef flow, RuleBook& rules) {
  if (!live(flow)) settle(flow, rules, record(flow).rule);
}

void FlowRecords::prefetch(FlowRef flow) const {
  if (entry_of(flow) >= of_pmd_[pmd_of(flow)].size()) return;
  __builtin_prefetch(&entry(flow).key);
  __builtin_prefetch(&entry(flow).used_ns);
}

void FlowRecords::link(FlowRef flow, DecisionId decision, DecisionNode& node) {
  FlowRecord& record = at(flow);
  record.decision = decision;
  record.previous = kNoFlow;
  record.next = node.first_flow;
  if (node.first_flow != kNoFlow) at(node.first_flow).previous = flow;
  node.first_flow = flow;
  ++node.flows;
}

void FlowRecords::unlink(FlowRef flow, DecisionNode& node) {
  FlowRecord& record = at(flow);
  (record.previous != kNoFlow ? at(record.previous).next : node.first_flow) = record.next;
  if (record.next != kNoFlow) at(record.next).previous = record.previous;
  record.decision = kNoDecision;
  --node.flows;
}

}  // namespace sluice::control
