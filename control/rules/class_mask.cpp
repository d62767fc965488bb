// class_mask: a union over the rule table's groups, each of which has one mask.
#include "control/rules/class_mask.hpp"

#include <optional>

#include "control/rules/packet_class.hpp"

namespace sluice::control {
namespace {

using flowtable::FlowKey;
using flowtable::PacketClass;
using flowtable::PortId;

// What is the same in all packets of a class from a port.
ClassFacts facts_of(PacketClass c, PortId in_port) {
  ClassFacts facts = class_facts(c);
  facts.value.in_port = in_port;
  facts.mask.in_port = 0xffff;
  return facts;
}

bool compatible(const Rule& rule, const ClassFacts& facts) {
  return masked(rule.value, facts.mask) == masked(facts.value, rule.mask);
}

// The best rule that matches all such packets; what comes after it is never reached.
std::optional<RuleTable::Place> last_reached(const RuleTable& table, const ClassFacts& facts) {
  std::optional<RuleTable::Place> last;
  for (const auto& group : table.groups()) {
    if (!(merged(group->mask, facts.mask) == facts.mask)) continue;
    const auto found = group->by_value.find(masked(facts.value, group->mask));
    if (found == group->by_value.end()) continue;
    const auto place = found->second.begin()->first;
    if (!last || place < *last) last = place;
  }
  return last;
}

bool could_match_one_of(const RuleTable::Group& group, const ClassFacts& facts,
                        const std::optional<RuleTable::Place>& last) {
  for (const auto& [place, rule] : group.rules) {
    if (last && *last < place) return false;
    if (compatible(*rule, facts)) return true;
  }
  return false;
}

}  // namespace

bool could_match(const Rule& rule, PacketClass c, PortId in_port) { return compatible(rule, facts_of(c, in_port)); }

FlowKey class_mask(PacketClass c, PortId in_port, const RuleTable& table, const FlowKey& base) {
  const ClassFacts facts = facts_of(c, in_port);
  const auto last = last_reached(table, facts);
  FlowKey mask = base;
  for (const auto& group : table.groups()) {
    const bool known_already = merged(mask, group->mask) == mask;
    if (!known_already && could_match_one_of(*group, facts, last)) mask = merged(mask, group->mask);
  }
  mask.in_port = 0xffff;
  mask.packet_class = 0xff;
  mask.mask_generation = 0xffff;
  return mask;
}

}  // namespace sluice::control
