#include "control/slowpath/decision_store.hpp"

#include <array>
#include <bit>
#include <cassert>
#include <utility>

namespace sluice::control {

std::size_t DecisionStore::Hash::operator()(const DecisionInputs& inputs) const {
  const auto words = std::bit_cast<std::array<std::uint64_t, 4>>(inputs);
  std::uint64_t hash = secret;
  for (const auto word : words) {
    const auto product = static_cast<unsigned __int128>(word ^ hash) * ((secret >> 3U) | 0x9e37'79b9'0000'0001ULL);
    hash = static_cast<std::uint64_t>(product ^ (product >> 64U)) + secret;
  }
  return hash;
}

DecisionId DecisionStore::find(const DecisionInputs& inputs) const {
  if (found_last_ < nodes_.size()) {
    const DecisionNode& last = nodes_[found_last_];
    if (last.inputs == inputs && last.live && !last.doomed && !last.superseded) return found_last_;
  }
  const auto found = by_inputs_.find(inputs);
  if (found == by_inputs_.end()) return kNoDecision;
  found_last_ = found->second;
  return found->second;
}

DecisionId DecisionStore::add(const DecisionInputs& inputs, Outcome outcome) {
  DecisionId id = kNoDecision;
  if (free_.empty()) {
    id = static_cast<DecisionId>(nodes_.size());
    nodes_.emplace_back();
  } else {
    id = free_.back();
    free_.pop_back();
  }
  DecisionNode& node = nodes_[id];
  node.inputs = inputs;
  node.list = lists_.acquire(std::move(outcome.actions));
  node.slot.exchange(node.list);
  node.links = dependents_.add(id, outcome.dependencies);
  node.refreshed_ns = 0;
  node.live = true;
  by_inputs_.emplace(inputs, id);
  ++live_;
  return id;
}

void DecisionStore::update(DecisionId id, Outcome outcome) {
  DecisionNode& node = nodes_[id];
  node.dirty = false;
  const auto* before = node.list;
  node.list = lists_.acquire(std::move(outcome.actions));
  if (node.list != before) node.slot.exchange(node.list);
  graveyard_.bury(lists_.release(before));
  dependents_.remove(node.links);
  node.links = dependents_.add(id, outcome.dependencies);
}

void DecisionStore::mark_dirty(DecisionId id) {
  if (nodes_[id].superseded) return;
  if (std::exchange(nodes_[id].dirty, true)) return;
  dirty_.push_back(id);
}

void DecisionStore::mark_dependents_dirty(const Dependency& what) {
  dependents_.for_each_dependent(what, [this](DecisionId id) { mark_dirty(id); });
}

void DecisionStore::supersede(DecisionId id) {
  DecisionNode& node = nodes_[id];
  unlist(node);
  node.dirty = false;
  node.superseded = true;
  superseded_.push_back(id);
}

void DecisionStore::doom(DecisionId id) {
  DecisionNode& node = nodes_[id];
  if (node.doomed) return;
  unlist(node);
  node.doomed = true;
  doomed_.push_back(id);
}

void DecisionStore::unlist(const DecisionNode& node) {
  // The entry of one that is doomed or superseded may be another's by now.
  if (!node.doomed && !node.superseded) by_inputs_.erase(node.inputs);
}

void DecisionStore::retire(DecisionId id) {
  DecisionNode& node = nodes_[id];
  unlist(node);
  if (node.doomed) {
    assert(doomed_.back() == id);
    doomed_.pop_back();
  }
  // The list is not taken out of the slot: a PMD that has yet to carry out the last `remove` still reads it.
  graveyard_.bury(lists_.release(node.list));
  dependents_.remove(std::exchange(node.links, DependencyIndex::kNoLinks));
  graveyard_.bury(id);
  node.live = node.dirty = node.superseded = node.doomed = node.outdated = false;
  --live_;
}

DecisionId DecisionStore::next_dirty() {
  while (!dirty_.empty()) {
    const auto id = dirty_.back();
    dirty_.pop_back();
    // It may have been made again, or retired, since.
    if (nodes_[id].dirty) return id;
  }
  return kNoDecision;
}

DecisionId DecisionStore::next_superseded() {
  // It may have been retired since, or be doomed.
  while (!superseded_.empty()) {
    const DecisionNode& node = nodes_[superseded_.back()];
    if (node.superseded && !node.doomed) return superseded_.back();
    superseded_.pop_back();
  }
  return kNoDecision;
}

}  // namespace sluice::control
