// FlowRecords: what the slow path keeps of each flow: 40 bytes, parallel to the entries of the PMD's table, where
// the key and the counters are. Slow-path thread.
//
// A PMD goes on counting for a flow until it has carried out the command to erase it. The entry's counters stay what
// they are then, also when it becomes another flow, so that settle_removed() and add() give the rest to its rule.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "control/slowpath/decision_store.hpp"
#include "control/slowpath/rule_book.hpp"

namespace sluice::control {

struct FlowRecord {
  DecisionId decision = kNoDecision;  ///< kNoDecision: no flow here
  std::uint32_t installed = 0;        ///< when, in units of 2^20 ns, modulo 2^32
  FlowRef previous = kNoFlow;         ///< of the same decision
  FlowRef next = kNoFlow;
  std::uint64_t rule = kNoRule;  ///< of the flow that was removed: whose the rest of the counts is
  RuleCounts credited;           ///< of the entry's counts, what was given to rules
};
static_assert(sizeof(FlowRecord) == 40);

class FlowRecords {
 public:
  explicit FlowRecords(std::span<const PmdLink> pmds);

  /// A flow that was not there. Its entry may have been another, whose counts are settled by this.
  void add(FlowRef flow, DecisionId decision, DecisionNode& node, RuleBook& rules, std::uint64_t now_ns);
  /// Settles what there is of its counts.
  void remove(FlowRef flow, DecisionNode& node, RuleBook& rules);
  void move(FlowRef flow, DecisionNode& from, DecisionId to, DecisionNode& node);

  [[nodiscard]] const FlowRecord& record(FlowRef flow) const { return of_pmd_[pmd_of(flow)][entry_of(flow)]; }
  [[nodiscard]] bool live(FlowRef flow) const;
  [[nodiscard]] const flowtable::FlowEntry& entry(FlowRef flow) const {
    return pmds_[pmd_of(flow)].table->entry(entry_of(flow));
  }
  /// How many flows a PMD has, and how many places for records there are so far (live ones among them).
  [[nodiscard]] std::size_t count(std::size_t pmd) const { return counts_[pmd]; }
  [[nodiscard]] std::size_t places(std::size_t pmd) const { return of_pmd_[pmd].size(); }
  [[nodiscard]] std::size_t count() const;

  /// Since when a flow has had no packet; its installation counts as one.
  [[nodiscard]] std::uint64_t idle_ns(FlowRef flow, std::uint64_t now_ns) const;
  /// The entry's counts that no rule was given yet.
  [[nodiscard]] RuleCounts counts(FlowRef flow) const;
  /// Gives what counts() says to the rule that has decided so far.
  void settle(FlowRef flow, RuleBook& rules, std::uint64_t rule);
  /// The same for a flow that was removed, when its PMD has erased it, unless the entry is another flow by now.
  void settle_removed(FlowRef flow, RuleBook& rules);
  /// Loads the entry of a flow that may come soon.
  void prefetch(FlowRef flow) const;

 private:
  [[nodiscard]] FlowRecord& at(FlowRef flow) { return of_pmd_[pmd_of(flow)][entry_of(flow)]; }
  void link(FlowRef flow, DecisionId decision, DecisionNode& node);
  void unlink(FlowRef flow, DecisionNode& node);

  std::span<const PmdLink> pmds_;
  std::vector<std::vector<FlowRecord>> of_pmd_;  ///< by PMD and EntryId
  std::vector<std::size_t> counts_;
};

}  // namespace sluice::control
