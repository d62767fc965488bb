// FlowRecords: what the slow path keeps of each flow: 32 bytes, parallel to the entries of the PMD's table, where
// the key and the counters are. Slow-path thread.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "control/slowpath/decision_store.hpp"
#include "control/slowpath/rule_book.hpp"

namespace sluice::control {

inline constexpr std::size_t kMaxPmds = 255;

[[nodiscard]] constexpr FlowRef flow_ref(std::size_t pmd, flowtable::EntryId entry) {
  return FlowRef{static_cast<std::uint32_t>(pmd << 24U) | entry};
}
[[nodiscard]] constexpr std::size_t pmd_of(FlowRef flow) { return static_cast<std::uint32_t>(flow) >> 24U; }
[[nodiscard]] constexpr flowtable::EntryId entry_of(FlowRef flow) {
  return static_cast<std::uint32_t>(flow) & 0x00ff'ffffU;
}

struct FlowRecord {
  DecisionId decision = kNoDecision;  ///< kNoDecision: no flow here
  std::uint32_t installed = 0;        ///< when, in units of 2^20 ns, modulo 2^32
  FlowRef previous = kNoFlow;         ///< of the same decision
  FlowRef next = kNoFlow;
  RuleCounts credited;  ///< of the entry's counts, what went to rules that decided it before
};
static_assert(sizeof(FlowRecord) == 32);

class FlowRecords {
 public:
  explicit FlowRecords(std::span<const PmdLink> pmds);

  /// A flow that was not there.
  void add(FlowRef flow, DecisionId decision, DecisionNode& node, std::uint64_t now_ns);
  void remove(FlowRef flow, DecisionNode& node);
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
  /// The entry's counts without those of earlier rules.
  [[nodiscard]] RuleCounts counts(FlowRef flow) const;
  /// Gives what counts() says to the rule that has decided so far.
  void settle(FlowRef flow, RuleBook& rules, std::uint64_t rule);
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
