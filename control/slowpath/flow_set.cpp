#include "control/slowpath/flow_set.hpp"

#include <algorithm>

#include "control/rules/packet_class.hpp"
#include "ports/mbuf_frame.hpp"

namespace sluice::control {
namespace {

using datapath::Command;
using flowtable::FlowKey;
using flowtable::PortId;

/// Keeping a source alive costs a search in the FDB, and is not worth one for each of many flows.
constexpr std::uint64_t kRefreshEveryNs = 250'000'000;
constexpr unsigned kVlans = 4096;
/// Buffers that injected frames may take from packets; so few commands always find room in the PMD's ring.
constexpr std::uint64_t kInjectedAtATime = 256;

std::vector<Outbox> outboxes_for(std::span<const PmdLink> pmds) {
  std::vector<Outbox> outboxes;
  for (const auto& pmd : pmds) outboxes.emplace_back(*pmd.commands);
  return outboxes;
}

}  // namespace

FlowSet::FlowSet(std::span<const PmdLink> pmds, const Pipeline& pipeline, RuleBook& rules, Fdb& fdb,
                 std::uint64_t hash_secret)
    : pmds_(pmds),
      pipeline_(pipeline),
      rules_(rules),
      fdb_(fdb),
      outboxes_(outboxes_for(pmds)),
      graveyard_(pmds, outboxes_),
      decisions_(hash_secret, graveyard_),
      records_(pmds) {}

void FlowSet::install(FlowRef flow, const FlowKey& key, std::uint64_t now_ns) {
  const auto id = decision_for(pipeline_.inputs(key), key.in_port, now_ns);
  DecisionNode& node = decisions_.node(id);
  records_.add(flow, id, node, rules_, now_ns);
  if (node.refreshed_ns + kRefreshEveryNs <= now_ns) refresh_sources(node, now_ns);
  send(flow, Command::Kind::install, &node.slot);
}

bool FlowSet::adopt(std::size_t pmd, const FlowKey& masked_key, std::uint64_t seen_ns) {
  const auto id = decision_of_known_source(inputs_of(masked_key));
  if (id == kNoDecision) return false;
  DecisionNode& node = decisions_.node(id);
  const flowtable::FlowEntry* const entry = pmds_[pmd].adopt(masked_key, node.slot);
  if (entry != nullptr) records_.add(flow_ref(pmd, entry->id), id, node, rules_, seen_ns);
  // The FDB knows as well as it has to when its sources were heard.
  node.refreshed_ns = std::max(node.refreshed_ns, seen_ns);
  if (node.flows == 0) decisions_.retire(id);
  return entry != nullptr;
}

void FlowSet::inject(PortId port, std::span<const std::uint8_t> bytes) {
  if (pmds_.front().pool == nullptr || outboxes_.front().backlog() >= kInjectedAtATime) return;
  std::vector<std::uint8_t> head(bytes.begin(), bytes.end());
  ports::Frame frame{};
  frame.head = head.data();
  frame.size = frame.head_size = static_cast<std::uint32_t>(head.size());
  rte_mbuf* const mbuf = ports::to_mbuf(frame, pmds_.front().pool);
  if (mbuf == nullptr) return;
  outboxes_.front().send({.kind = Command::Kind::inject, .entry = 0, .frame = mbuf, .port = port});
  outboxes_.front().flush();
}

void FlowSet::answer(FlowRef flow, Command::Kind kind) { send(flow, kind); }

DecisionId FlowSet::decision_for(const DecisionInputs& inputs, PortId port, std::uint64_t now_ns) {
  auto id = find_current(inputs);
  // Its sources are known on the port, or it would have been doomed: there is nothing to learn.
  if (id != kNoDecision) return id;
  auto outcome = pipeline_.decide(inputs);
  if (learn(outcome, port, now_ns)) {
    fdb_changed();
    outcome = pipeline_.decide(inputs);
  }
  id = decisions_.add(inputs, std::move(outcome));
  decisions_.node(id).refreshed_ns = now_ns;
  return id;
}

DecisionId FlowSet::find_current(const DecisionInputs& inputs) {
  const auto id = decisions_.find(inputs);
  if (id == kNoDecision || !decisions_.node(id).dirty) return id;
  decide_again(id);
  return decisions_.find(inputs);
}

DecisionId FlowSet::decision_of_known_source(const DecisionInputs& inputs) {
  const auto id = find_current(inputs);
  if (id != kNoDecision) return id;
  auto outcome = pipeline_.decide(inputs);
  const bool known = std::ranges::all_of(outcome.learn, [&](FdbKey key) { return fdb_.lookup(key) == inputs.in_port; });
  return known ? decisions_.add(inputs, std::move(outcome)) : kNoDecision;
}

bool FlowSet::learn(const Outcome& outcome, PortId port, std::uint64_t now_ns) {
  bool news = false;
  for (const auto key : outcome.learn) news |= fdb_.learn(key, port, now_ns);
  return news;
}

void FlowSet::drop(FlowRef flow, std::uint64_t now_ns) {
  const auto id = records_.record(flow).decision;
  DecisionNode& node = decisions_.node(id);
  const auto idle = records_.idle_ns(flow, now_ns);
  refresh_sources(node, now_ns - std::min(idle, now_ns));
  records_.remove(flow, node, rules_);
  send(flow, Command::Kind::remove);
  if (rules_.find(node.inputs.rule) != nullptr) graveyard_.bury(flow);
  // A doomed one is retired where the doomed are dealt with.
  if (node.flows == 0 && !node.doomed) decisions_.retire(id);
}

/// What the mask leaves out, no rule and no port reads, but for what the class says by itself.
DecisionInputs FlowSet::inputs_of(const FlowKey& masked_key) const {
  const auto packet_class = static_cast<flowtable::PacketClass>(masked_key.packet_class);
  return pipeline_.inputs(flowtable::merged(masked_key, class_facts(packet_class).value));
}

void FlowSet::recheck(FlowRef flow, std::uint64_t now_ns) {
  const auto id = records_.record(flow).decision;
  DecisionNode& node = decisions_.node(id);
  if (node.doomed) return;
  const auto inputs = inputs_of(records_.entry(flow).key);
  if (inputs == node.inputs && !node.superseded) return;
  const auto next = decision_of_known_source(inputs);
  if (next == kNoDecision) {
    drop(flow, now_ns);
    return;
  }
  records_.settle(flow, rules_, node.inputs.rule);
  records_.move(flow, node, next, decisions_.node(next));
  send(flow, Command::Kind::install, &decisions_.node(next).slot);
  if (node.flows == 0 && !node.doomed) decisions_.retire(id);
}

void FlowSet::keep_source_alive(FlowRef flow, std::uint64_t now_ns, std::uint64_t idle_ns) {
  DecisionNode& node = decisions_.node(records_.record(flow).decision);
  const auto seen = now_ns - std::min(idle_ns, now_ns);
  if (seen >= node.refreshed_ns + kRefreshEveryNs) refresh_sources(node, seen);
}

void FlowSet::refresh_sources(DecisionNode& node, std::uint64_t seen_ns) {
  node.refreshed_ns = std::max(node.refreshed_ns, seen_ns);
  decisions_.dependents().for_each_dependency(node.links, [&](const Dependency& what) {
    if (what.kind == Dependency::Kind::source) fdb_.refresh(what.key, node.inputs.in_port, seen_ns);
  });
}

std::uint64_t FlowSet::source_seen_ns(FdbKey source, PortId port, std::uint64_t now_ns, std::uint64_t enough_ns) const {
  std::uint64_t seen = 0;
  decisions_.dependents().for_each_dependent({Dependency::Kind::source, source}, [&](DecisionId id) {
    const DecisionNode& node = decisions_.node(id);
    if (node.inputs.in_port != port) return;
    for (FlowRef flow = node.first_flow; flow != kNoFlow && seen < enough_ns; flow = records_.record(flow).next) {
      const auto idle = records_.idle_ns(flow, now_ns);
      seen = std::max(seen, now_ns - std::min(idle, now_ns));
    }
  });
  return seen;
}

void FlowSet::fdb_changed() {
  for (const auto key : fdb_.take_changes()) {
    const auto port = fdb_.lookup(key);
    decisions_.dependents().for_each_dependent({Dependency::Kind::source, key}, [&](DecisionId id) {
      // Its next packet has to come up, so that the source is learnt again.
      if (port != decisions_.node(id).inputs.in_port) decisions_.doom(id);
    });
    decisions_.mark_dependents_dirty({Dependency::Kind::destination, key});
  }
}

void FlowSet::port_changed(PortId port, const BridgePort* before, const BridgePort* after) {
  for (unsigned vlan = 0; vlan < kVlans; ++vlan) {
    const auto number = static_cast<std::uint16_t>(vlan);
    if ((before != nullptr && carries(before->vlan, number)) || (after != nullptr && carries(after->vlan, number))) {
      decisions_.mark_dependents_dirty({Dependency::Kind::flood, fdb_key(number, {})});
    }
  }
  decisions_.mark_dependents_dirty({Dependency::Kind::ports});
  if (before == nullptr) return;
  decisions_.for_each([&](DecisionId id, DecisionNode& node) {
    if (node.inputs.in_port != port) return;
    node.outdated = true;
    decisions_.doom(id);
  });
}

bool FlowSet::settle(std::size_t work, std::uint64_t now_ns) {
  std::size_t done = 0;
  for (; done < work; ++done) {
    const auto id = decisions_.next_dirty();
    if (id == kNoDecision) break;
    decide_again(id);
  }
  return drop_doomed(work, now_ns) + done != 0;
}

void FlowSet::decide_again(DecisionId id) {
  DecisionNode& node = decisions_.node(id);
  const auto rule = node.inputs.rule;
  if (rule != kNoRule && rule != kRefused && rules_.find(rule) == nullptr) {
    // Its flows are about to be given to other rules.
    node.dirty = false;
    return;
  }
  if (node.outdated) {
    // What the port's setting did not read is zero in the inputs: with the new one, another packet, in another VLAN.
    node.dirty = false;
    return;
  }
  auto outcome = pipeline_.decide(node.inputs);
  if (in_place_ || std::ranges::equal(outcome.actions, node.list->actions())) {
    decisions_.update(id, std::move(outcome));
  } else if (node.doomed) {
    node.dirty = false;
  } else {
    decisions_.supersede(id);
  }
}

FlowRef FlowSet::next_superseded() {
  const auto id = decisions_.next_superseded();
  return id != kNoDecision ? decisions_.node(id).first_flow : kNoFlow;
}

std::size_t FlowSet::drop_doomed(std::size_t work, std::uint64_t now_ns) {
  std::size_t done = 0;
  for (auto id = decisions_.next_doomed(); id != kNoDecision && done < work; id = decisions_.next_doomed()) {
    const DecisionNode& node = decisions_.node(id);
    for (; node.first_flow != kNoFlow && done < work; ++done) {
      if (congested(pmd_of(node.first_flow))) return done;
      drop(node.first_flow, now_ns);
    }
    if (node.flows != 0) break;
    decisions_.retire(id);
    ++done;
  }
  return done;
}

bool FlowSet::settled() const {
  return decisions_.next_doomed() == kNoDecision && !decisions_.any_superseded() && !decisions_.any_dirty();
}

bool FlowSet::flush() {
  bool any = false;
  for (auto& outbox : outboxes_) any |= outbox.flush();
  const auto freed = graveyard_.collect();
  decisions_.free(freed.decisions);
  for (const auto flow : freed.flows) records_.settle_removed(flow, rules_);
  return any;
}

void FlowSet::send(FlowRef flow, Command::Kind kind, const flowtable::Decision* decision) {
  outboxes_[pmd_of(flow)].send({kind, entry_of(flow), decision});
}

}  // namespace sluice::control
