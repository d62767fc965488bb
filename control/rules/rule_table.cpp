// RuleTable: the order, and the groups that make it quick to search.
#include "control/rules/rule_table.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <limits>

namespace sluice::control {
namespace {

using flowtable::FlowKey;

const RuleTable::Place& best_of(const RuleTable::Group& group) { return group.rules.begin()->first; }

/// Many groups are one rule: comparing is less than a hash.
auto find_value(const RuleTable::Group& group, const FlowKey& value) {
  if (group.by_value.size() != 1) return group.by_value.find(value);
  const auto only = group.by_value.begin();
  return only->first == value ? only : group.by_value.end();
}

}  // namespace

// The values hashed here are the operator's own, so nobody else can aim at a bucket: mixing is enough, no secret.
std::size_t RuleTable::KeyHash::operator()(const FlowKey& key) const {
  std::uint64_t hash = 0;
  for (const auto word : std::bit_cast<std::array<std::uint64_t, 8>>(key)) {
    hash = std::rotl((hash ^ word) * 0x9e3779b97f4a7c15U, 31);
  }
  return hash * 0x9e3779b97f4a7c15U >> 16U;
}

RuleTable::Added RuleTable::add(Rule rule) {
  Place place{static_cast<std::uint16_t>(std::numeric_limits<std::uint16_t>::max() - rule.priority), next_};
  rule.id = next_++;
  std::uint64_t replaced = 0;
  if (const Group* group = find_group(rule.mask)) {
    if (const auto same_value = group->by_value.find(rule.value); same_value != group->by_value.end()) {
      const auto same = same_value->second.lower_bound({place.below_top, 0});
      if (same != same_value->second.end() && same->first.below_top == place.below_top) {
        place = same->first;
        replaced = same->second->id;
        leave(place, *same->second);
      }
    }
  }
  const auto entry = rules_.insert_or_assign(place, std::move(rule)).first;
  enter(place, entry->second);
  return {&entry->second, replaced};
}

std::uint64_t RuleTable::remove(std::uint16_t priority, const FlowKey& value, const FlowKey& mask) {
  const Group* group = find_group(mask);
  if (group == nullptr) return 0;
  const auto same_value = group->by_value.find(value);
  if (same_value == group->by_value.end()) return 0;
  const auto below_top = static_cast<std::uint16_t>(std::numeric_limits<std::uint16_t>::max() - priority);
  const auto same = same_value->second.lower_bound({below_top, 0});
  if (same == same_value->second.end() || same->first.below_top != below_top) return 0;
  const Place place = same->first;
  const std::uint64_t id = same->second->id;
  leave(place, *same->second);
  rules_.erase(place);
  return id;
}

void RuleTable::clear() {
  place_of_.clear();
  group_of_.clear();
  groups_.clear();
  rules_.clear();
}

const Rule* RuleTable::match(const FlowKey& key) const {
  const Rule* winner = nullptr;
  Place place{};
  for (const auto& group : groups_) {
    if (winner != nullptr && place < best_of(*group)) break;
    const auto found = find_value(*group, masked(key, group->mask));
    if (found == group->by_value.end()) continue;
    const auto& [best, rule] = *found->second.begin();
    if (winner != nullptr && place < best) continue;
    winner = rule;
    place = best;
  }
  return winner;
}

const Rule* RuleTable::find(std::uint64_t id) const {
  const auto found = place_of_.find(id);
  return found == place_of_.end() ? nullptr : &rules_.at(found->second);
}

RuleTable::Group* RuleTable::find_group(const FlowKey& mask) const {
  const auto found = group_of_.find(mask);
  return found == group_of_.end() ? nullptr : found->second;
}

// Moves a group whose best rule has changed to where it belongs; the others are in order.
void RuleTable::move_to_rank(std::size_t index) {
  const auto before = [](const auto& a, const auto& b) { return best_of(*a) < best_of(*b); };
  const auto group = groups_.begin() + static_cast<std::ptrdiff_t>(index);
  const auto up = std::lower_bound(groups_.begin(), group, *group, before);
  if (up != group) {
    std::rotate(up, group, group + 1);
    return;
  }
  const auto down = std::lower_bound(group + 1, groups_.end(), *group, before);
  std::rotate(group, group + 1, down);
}

void RuleTable::enter(const Place& place, const Rule& rule) {
  Group* group = find_group(rule.mask);
  if (group == nullptr) {
    groups_.push_back(std::make_unique<Group>());
    group = groups_.back().get();
    group->mask = rule.mask;
    group_of_.emplace(rule.mask, group);
  }
  group->rules.emplace(place, &rule);
  group->by_value[rule.value].emplace(place, &rule);
  place_of_.emplace(rule.id, place);
  if (best_of(*group) != place) return;
  const auto at = std::ranges::find(groups_, group, &std::unique_ptr<Group>::get);
  move_to_rank(static_cast<std::size_t>(at - groups_.begin()));
}

void RuleTable::leave(const Place& place, const Rule& rule) {
  Group* group = find_group(rule.mask);
  const Place best = best_of(*group);
  place_of_.erase(rule.id);
  const auto value = group->by_value.find(rule.value);
  value->second.erase(place);
  if (value->second.empty()) group->by_value.erase(value);
  group->rules.erase(place);
  if (place != best) return;
  const auto at = std::ranges::find(groups_, group, &std::unique_ptr<Group>::get);
  if (group->rules.empty()) {
    group_of_.erase(rule.mask);
    groups_.erase(at);
    return;
  }
  move_to_rank(static_cast<std::size_t>(at - groups_.begin()));
}

}  // namespace sluice::control
