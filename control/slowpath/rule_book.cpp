#include "control/slowpath/rule_book.hpp"

#include <utility>

namespace sluice::control {

RuleTable::Added RuleBook::add(Rule rule) {
  const auto added = table_.add(std::move(rule));
  if (added.replaced != 0) by_id_.erase(added.replaced);
  by_id_.emplace(added.rule->id, Known{added.rule, {}});
  return added;
}

std::uint64_t RuleBook::remove(std::uint16_t priority, const flowtable::FlowKey& value,
                               const flowtable::FlowKey& mask) {
  const auto id = table_.remove(priority, value, mask);
  by_id_.erase(id);
  return id;
}

const Rule* RuleBook::find(std::uint64_t id) const {
  const auto found = by_id_.find(id);
  return found != by_id_.end() ? found->second.rule : nullptr;
}

void RuleBook::credit(std::uint64_t id, const RuleCounts& counts) {
  const auto found = by_id_.find(id);
  if (found == by_id_.end()) return;
  found->second.counts.packets += counts.packets;
  found->second.counts.bytes += counts.bytes;
}

RuleCounts RuleBook::credited(std::uint64_t id) const {
  const auto found = by_id_.find(id);
  return found != by_id_.end() ? found->second.counts : RuleCounts{};
}

}  // namespace sluice::control
