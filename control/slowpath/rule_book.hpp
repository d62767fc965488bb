// RuleBook: the rules, found by id as well as by packet, and what each has counted. Slow-path thread.
#pragma once

#include <cstdint>
#include <unordered_map>

#include "control/rules/rule_table.hpp"

namespace sluice::control {

struct RuleCounts {
  std::uint64_t packets = 0;
  std::uint64_t bytes = 0;
};

class RuleBook {
 public:
  RuleTable::Added add(Rule rule);
  /// The id of the rule that went; 0 if there was none with this priority and match.
  std::uint64_t remove(std::uint16_t priority, const flowtable::FlowKey& value, const flowtable::FlowKey& mask);

  [[nodiscard]] const RuleTable& table() const { return table_; }
  [[nodiscard]] const Rule* match(const flowtable::FlowKey& key) const { return table_.match(key); }
  /// Null if it is gone.
  [[nodiscard]] const Rule* find(std::uint64_t id) const;

  /// Adds to a rule's counts what a flow that it no longer decides has had. Forgotten if the rule is gone.
  void credit(std::uint64_t id, const RuleCounts& counts);
  /// Of flows that are gone.
  [[nodiscard]] RuleCounts credited(std::uint64_t id) const;

 private:
  struct Known {
    const Rule* rule;
    RuleCounts counts;
  };
  RuleTable table_;
  std::unordered_map<std::uint64_t, Known> by_id_;
};

}  // namespace sluice::control
