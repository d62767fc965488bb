// SlowPath's second half: changes that are asked for, and what people want to see.
#include <algorithm>
#include <utility>

#include "control/rules/format.hpp"
#include "control/slowpath/announcement.hpp"
#include "control/slowpath/slow_path.hpp"

namespace sluice::control {

using flowtable::FlowKey;
using flowtable::MacAddress;
using flowtable::PortId;

void SlowPath::set_port(PortId id, const std::string& name, const VlanConfig& vlan) {
  std::optional<BridgePort> before;
  if (const auto* port = ports_.find(id)) before = *port;
  names_.remove(id);
  names_.add(name, id);
  ports_.set(id, {name, vlan});
  if (before && before->vlan == vlan) return;
  masks_.touch(id);
  if (before) flush_fdb(id);
  flows_.port_changed(id, before ? &*before : nullptr, ports_.find(id));
}

void SlowPath::remove_port(PortId id) {
  const auto* port = ports_.find(id);
  if (port == nullptr) return;
  const BridgePort before = *port;
  names_.remove(id);
  ports_.remove(id);
  flush_fdb(id);
  flows_.port_changed(id, &before, nullptr);
  departures_.add(id);
}

bool SlowPath::forgotten(PortId id) const { return ports_.find(id) == nullptr && !departures_.contains(id); }

void SlowPath::touch_masks(const FlowKey& rule_value, const FlowKey& rule_mask) {
  if (rule_mask.in_port != flowtable::kNoPort) {
    masks_.touch_all();
  } else if (rule_value.in_port < flowtable::kMaxPorts) {
    masks_.touch(rule_value.in_port);
  }
}

void SlowPath::add_rule(Rule rule) {
  const auto added = rules_.add(std::move(rule));
  if (added.replaced != 0) recheck_.rule_gone(added.replaced);
  recheck_.rule_added(*added.rule);
  touch_masks(added.rule->value, added.rule->mask);
}

bool SlowPath::delete_rule(const Rule& rule) {
  const auto id = rules_.remove(rule.priority, rule.value, rule.mask);
  if (id == 0) return false;
  recheck_.rule_gone(id);
  touch_masks(rule.value, rule.mask);
  return true;
}

std::size_t SlowPath::delete_all_rules() {
  std::size_t gone = 0;
  while (rule_count() != 0) {
    const Rule rule = rules_.table().rules().begin()->second;
    delete_rule(rule);
    ++gone;
  }
  return gone;
}

std::size_t SlowPath::flush_fdb() {
  const auto gone = fdb_.flush();
  flows_.fdb_changed();
  return gone;
}

std::size_t SlowPath::flush_fdb(PortId port) {
  const auto gone = fdb_.flush(port);
  flows_.fdb_changed();
  return gone;
}

bool SlowPath::announce(const MacAddress& mac, PortId id, std::optional<std::uint16_t> vlan) {
  const auto* port = ports_.find(id);
  if (port == nullptr || mac.is_multicast()) return false;
  if (!vlan) {
    const auto untagged = admit(port->vlan, Tag{});
    if (!untagged) return false;
    vlan = untagged->vlan;
  }
  if (!carries(port->vlan, *vlan)) return false;
  fdb_.learn(fdb_key(*vlan, mac), id, now_ns_);
  flows_.fdb_changed();
  return true;
}

std::size_t SlowPath::spread(const MacAddress& mac, PortId id) {
  const auto* port = ports_.find(id);
  if (port == nullptr || mac.is_multicast()) return 0;
  const auto untagged = admit(port->vlan, Tag{});
  const auto vlans = announced_vlans(port->vlan, fdb_, mac);
  for (const auto vlan : vlans) {
    announce(mac, id, vlan);
    const bool tagged = !untagged || untagged->vlan != vlan;
    flows_.inject(id, rarp_frame(mac, tagged ? std::optional(vlan) : std::nullopt));
  }
  return vlans.size();
}

std::vector<RuleSnapshot> SlowPath::rules() const {
  std::unordered_map<std::uint64_t, RuleCounts> live;
  const auto& records = flows_.records();
  FlowWalk walk(records, pmds_.size());
  walk.next(walk.length(), [&](FlowRef flow) {
    const auto counts = records.counts(flow);
    auto& sum = live[flows_.decision(flow).inputs.rule];
    sum.packets += counts.packets;
    sum.bytes += counts.bytes;
  });
  std::vector<RuleSnapshot> list;
  for (const auto& [place, rule] : rules_.table().rules()) {
    const auto gone = rules_.credited(rule.id);
    const auto now = live[rule.id];
    list.push_back({format_rule(rule, names_), gone.packets + now.packets, gone.bytes + now.bytes});
  }
  return list;
}

std::vector<FlowSnapshot> SlowPath::flows(std::size_t limit) const {
  std::vector<FlowSnapshot> list;
  const auto& records = flows_.records();
  FlowWalk walk(records, pmds_.size());
  for (auto left = walk.length(); left != 0 && list.size() < limit; --left) {
    walk.next(1, [&](FlowRef flow) {
      const auto& entry = records.entry(flow);
      // Flows of masks that are no more are out of reach and on their way out.
      if (!masks_.current(entry.key)) return;
      const auto used = entry.used_ns.get();
      list.push_back(
          {.pmd = pmd_of(flow),
           .key = entry.key,
           .mask = masks_.mask(entry.key.in_port, static_cast<flowtable::PacketClass>(entry.key.packet_class)).mask,
           .packets = entry.own_packets(),
           .bytes = entry.own_bytes(),
           .used_ns = used != 0 ? std::optional(used) : std::nullopt,
           .actions = *flows_.decision(flow).list});
    });
  }
  return list;
}

std::vector<std::string> SlowPath::trace(const FlowKey& packet) const {
  if (ports_.find(packet.in_port) == nullptr) return {names_.name(packet.in_port) + ": there is no such port"};
  Trace lines;
  auto outcome = pipeline_.decide(packet, &lines);
  lines.push_back("actions: " + format_actions(flowtable::ActionList(std::move(outcome.actions)), names_));
  return lines;
}

}  // namespace sluice::control
