// DecisionStore: the decisions that are in force, found by their inputs and by what they depend on. Slow-path thread;
// PMDs read a node's slot and nothing else of it.
//
// A decision's life: made for the first flow that needs it; `dirty` when something it depends on has changed, until it
// is made again in place, or `superseded` by another for the same inputs, to which its flows move one by one; `doomed`
// when its flows must go because they have to come up again (their source is to be learnt anew). Neither of the latter
// two is found by a new flow; a decision is retired when its last flow is gone.
#pragma once

#include <cstdint>
#include <deque>
#include <unordered_map>
#include <vector>

#include "control/slowpath/action_lists.hpp"
#include "control/slowpath/decision_inputs.hpp"
#include "control/slowpath/dependency_index.hpp"
#include "control/slowpath/graveyard.hpp"

namespace sluice::control {

struct DecisionNode {
  flowtable::Decision slot;  ///< what flows point to
  DecisionInputs inputs;
  const flowtable::ActionList* list = nullptr;
  std::uint64_t refreshed_ns = 0;  ///< when its sources were last kept alive in the FDB
  FlowRef first_flow = kNoFlow;
  std::uint32_t flows = 0;
  DependencyIndex::Links links = DependencyIndex::kNoLinks;
  bool live = false;
  bool dirty = false;
  bool doomed = false;
  bool superseded = false;
  bool outdated = false;  ///< doomed, and its inputs were read by a port setting that is no more: never made again
};

class DecisionStore {
 public:
  DecisionStore(std::uint64_t hash_secret, Graveyard& graveyard)
      : by_inputs_(16, Hash{hash_secret}), dependents_(hash_secret), graveyard_(graveyard) {}
  DecisionStore(const DecisionStore&) = delete;
  DecisionStore& operator=(const DecisionStore&) = delete;

  [[nodiscard]] DecisionNode& node(DecisionId id) { return nodes_[id]; }
  [[nodiscard]] const DecisionNode& node(DecisionId id) const { return nodes_[id]; }
  /// kNoDecision if there is none; never a doomed or superseded one.
  [[nodiscard]] DecisionId find(const DecisionInputs& inputs) const;
  /// There is none for these inputs.
  DecisionId add(const DecisionInputs& inputs, Outcome outcome);
  /// Replaces what a decision says; its slot is exchanged only if the actions differ. Clears `dirty`.
  void update(DecisionId id, Outcome outcome);

  /// To be made again; one that is superseded says until its end what it says.
  void mark_dirty(DecisionId id);
  void mark_dependents_dirty(const Dependency& what);
  void supersede(DecisionId id);
  void doom(DecisionId id);
  /// Has no flows any more; if it is doomed, it is next_doomed(). Its number comes back through free().
  void retire(DecisionId id);
  void free(const std::vector<DecisionId>& ids) { free_.insert(free_.end(), ids.begin(), ids.end()); }

  /// The next to be made again, whose flows are to be moved, whose flows must go; kNoDecision if there is none.
  [[nodiscard]] DecisionId next_dirty();
  [[nodiscard]] bool any_dirty() const { return !dirty_.empty(); }
  [[nodiscard]] DecisionId next_superseded();
  [[nodiscard]] bool any_superseded() const { return !superseded_.empty(); }
  [[nodiscard]] DecisionId next_doomed() const { return doomed_.empty() ? kNoDecision : doomed_.back(); }

  [[nodiscard]] const DependencyIndex& dependents() const { return dependents_; }
  [[nodiscard]] std::size_t size() const { return live_; }
  template <typename F>
  void for_each(F f) {
    for (DecisionId id = 0; id < nodes_.size(); ++id) {
      if (nodes_[id].live) f(id, nodes_[id]);
    }
  }

 private:
  struct Hash {
    std::uint64_t secret;
    std::size_t operator()(const DecisionInputs& inputs) const;
  };

  /// No flow finds it from now on.
  void unlist(const DecisionNode& node);

  std::deque<DecisionNode> nodes_;  ///< a deque: PMDs hold addresses of slots
  std::vector<DecisionId> free_;
  std::unordered_map<DecisionInputs, DecisionId, Hash> by_inputs_;
  mutable DecisionId found_last_ = 0;  ///< flows that are looked up one after the other often have the same
  ActionLists lists_;
  DependencyIndex dependents_;
  Graveyard& graveyard_;
  std::vector<DecisionId> dirty_;
  std::vector<DecisionId> superseded_;  ///< and some that are no more
  std::vector<DecisionId> doomed_;
  std::size_t live_ = 0;
};

}  // namespace sluice::control
