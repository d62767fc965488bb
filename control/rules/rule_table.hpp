// RuleTable: the rules in their order, and which of them wins for a packet.
//
// Thread safety: none; the slow path owns it.
//
// The winner is found by a search over the distinct masks (tuple space): rules with the same mask are one hash table,
// and the tables are tried from the one with the best rule on, until none can have a better one. That is never done per
// packet, only once a flow, so a tuple space that grows costs set-up time and not throughput.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <unordered_map>
#include <vector>

#include "control/rules/rule.hpp"
#include "flowtable/flow_key.hpp"

namespace sluice::control {

class RuleTable {
 public:
  /// Where a rule stands: higher priority first, of equals the one added first.
  struct Place {
    std::uint16_t below_top;  ///< 65535 - priority
    std::uint64_t sequence;   ///< when its match and priority were first added

    auto operator<=>(const Place&) const = default;
  };
  using Rules = std::map<Place, Rule>;

  /// Adds a rule and gives it an id. A rule with the same priority and match is replaced and keeps its place, as
  /// ovs-ofctl add-flow does; the new one has an id of its own. Pointers to other rules stay valid.
  struct Added {
    const Rule* rule;
    std::uint64_t replaced;  ///< the id of the rule that went, or 0
  };
  Added add(Rule rule);

  /// Deletes the rule with exactly this priority and match (as ovs-ofctl --strict del-flows): its id, or 0 if there is
  /// none.
  std::uint64_t remove(std::uint16_t priority, const flowtable::FlowKey& value, const flowtable::FlowKey& mask);
  void clear();

  /// The rule that wins for a packet, or null if none matches. The key is as parsed, not masked.
  [[nodiscard]] const Rule* match(const flowtable::FlowKey& key) const;

  /// The rule with this id, or null if it is gone.
  [[nodiscard]] const Rule* find(std::uint64_t id) const;

  /// In the order in which they are considered.
  [[nodiscard]] const Rules& rules() const { return rules_; }
  [[nodiscard]] std::size_t size() const { return rules_.size(); }

  /// Rules of one mask.
  struct KeyHash {
    std::size_t operator()(const flowtable::FlowKey& key) const;
  };
  using ByPlace = std::map<Place, const Rule*>;
  struct Group {
    flowtable::FlowKey mask;
    ByPlace rules;  ///< all of them; never empty
    std::unordered_map<flowtable::FlowKey, ByPlace, KeyHash> by_value;
  };
  /// The one with the best rule first.
  [[nodiscard]] std::span<const std::unique_ptr<Group>> groups() const { return groups_; }

 private:
  [[nodiscard]] Group* find_group(const flowtable::FlowKey& mask) const;
  void move_to_rank(std::size_t index);
  void enter(const Place& place, const Rule& rule);
  void leave(const Place& place, const Rule& rule);

  Rules rules_;
  std::vector<std::unique_ptr<Group>> groups_;
  std::unordered_map<flowtable::FlowKey, Group*, KeyHash> group_of_;
  std::unordered_map<std::uint64_t, Place> place_of_;
  std::uint64_t next_ = 1;  ///< id and sequence
};

}  // namespace sluice::control
