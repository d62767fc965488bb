// format: the fields in the order in which OVS prints them, then the actions.
#include "control/rules/format.hpp"

#include <fmt/format.h>
#include <netinet/in.h>

#include <algorithm>
#include <cstring>

#include "control/rules/ethertype.hpp"
#include "control/rules/packet_class.hpp"
#include "control/rules/values.hpp"
#include "control/rules/words.hpp"
#include "ports/drop_reason.hpp"

namespace sluice::control {
namespace {

using flowtable::Action;
using flowtable::ActionKind;
using flowtable::FlowKey;
using flowtable::MacAddress;
using flowtable::PacketClass;

constexpr std::uint16_t kVid = 0x0fff;
constexpr std::uint16_t kPcp = 0xe000;
constexpr std::uint8_t kTagBit = 1;

// Items with commas between them.
class Items {
 public:
  template <typename... Args>
  void add(fmt::format_string<Args...> format, Args&&... args) {
    if (!out_.empty()) out_ += ',';
    fmt::format_to(std::back_inserter(out_), format, std::forward<Args>(args)...);
  }
  [[nodiscard]] std::string take() { return std::move(out_); }

 private:
  std::string out_;
};

std::string port_name(const PortNames& ports, flowtable::PortId id) {
  const auto name = ports.name(id);
  const auto plain = [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_' || c == '.' ||
           c == '-';
  };
  return std::ranges::all_of(name, plain) ? name : "\"" + name + "\"";
}

Ipv4 last_four(const Ipv6& address) { return {address[12], address[13], address[14], address[15]}; }

bool any(const Ipv6& bytes) {
  return std::ranges::any_of(bytes, [](std::uint8_t byte) { return byte != 0; });
}

bool is_icmp(const FlowKey& value, const FlowKey& mask) { return satisfied(Needs::icmp, value, mask); }

// Writes the protocol's word, or ethertype and protocol as numbers.
void add_protocol(Items& items, const FlowKey& value, const FlowKey& mask) {
  if (mask.ethertype_be == 0) return;
  const std::uint16_t type = ntohs(value.ethertype_be);
  for (const auto& word : protocol_words()) {
    if (word.ethertype != type) continue;
    if (word.protocol >= 0 && (mask.nw_proto == 0 || word.protocol != value.nw_proto)) continue;
    return items.add("{}", word.name);
  }
  items.add("dl_type=0x{:04x}", type);
}

// nw_proto if no word has said it already.
void add_protocol_number(Items& items, const FlowKey& value, const FlowKey& mask) {
  if (mask.nw_proto == 0) return;
  if (satisfied(Needs::arp, value, mask)) return items.add("arp_op={}", value.nw_proto);
  const auto said = [&](const ProtocolWord& word) {
    return word.ethertype == ntohs(value.ethertype_be) && word.protocol == value.nw_proto;
  };
  if (!std::ranges::any_of(protocol_words(), said)) items.add("nw_proto={}", value.nw_proto);
}

// The TPID if it is not 802.1Q's; only keys ask for it. `kind`: a nibble of FlowKey::tag_kinds.
void add_tpid(Items& items, std::string_view vlan, unsigned kind, unsigned mask) {
  const bool dot1ad = (kind & mask & 0x0fU) == static_cast<unsigned>(flowtable::TagKind::dot1ad);
  if (dot1ad) items.add("{}_tpid=0x{:04x}", vlan, kDot1ad);
}

// A tag's VID and PCP. `vlan` is "dl_vlan" for the outer tag, "inner_vlan" for the inner one.
void add_tag(Items& items, std::string_view vlan, std::uint16_t tci, std::uint16_t mask, bool asks_tag, bool tagged) {
  if (asks_tag && !tagged) {
    // That there is no second tag is the rule, not worth a word.
    if (vlan == "dl_vlan") items.add("dl_vlan=0xffff");
    return;
  }
  const bool vid = (mask & kVid) == kVid;
  const bool pcp = (mask & kPcp) == kPcp;
  const bool whole = (vid || (mask & kVid) == 0) && (pcp || (mask & kPcp) == 0) && mask != 0 && asks_tag;
  if (whole) {
    if (vid) items.add("{}={}", vlan, tci & kVid);
    if (pcp) items.add("{}_pcp={}", vlan, tci >> 13U);
    return;
  }
  if (mask == 0 && !asks_tag) return;
  const unsigned present = asks_tag ? kTagPresent : 0U;
  items.add("{}=0x{:04x}/0x{:04x}", vlan == "dl_vlan" ? "vlan_tci" : "inner_tci", tci | present, mask | present);
}

void add_mac(Items& items, std::string_view name, const MacAddress& value, const MacAddress& mask) {
  constexpr MacAddress kNone{};
  constexpr MacAddress kAll{{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};
  if (mask == kNone) return;
  if (mask == kAll) return items.add("{}={}", name, write_mac(value));
  items.add("{}={}/{}", name, write_mac(value), write_mac(mask));
}

void add_address(Items& items, const FlowKey& key, const FlowKey& mask, Ipv6 FlowKey::*field, bool source) {
  if (!any(mask.*field)) return;
  if (satisfied(Needs::ipv6, key, mask)) {
    return items.add("ipv6_{}={}", source ? "src" : "dst", write_ipv6(key.*field, mask.*field));
  }
  const bool arp = satisfied(Needs::arp, key, mask);
  items.add("{}={}", arp ? (source ? "arp_spa" : "arp_tpa") : (source ? "nw_src" : "nw_dst"),
            write_ipv4(last_four(key.*field), last_four(mask.*field)));
}

void add_port(Items& items, std::string_view name, std::uint16_t value_be, std::uint16_t mask_be) {
  if (mask_be == 0) return;
  if (mask_be == 0xffff) return items.add("{}={}", name, ntohs(value_be));
  items.add("{}=0x{:x}/0x{:x}", name, ntohs(value_be), ntohs(mask_be));
}

void add_frag(Items& items, std::uint8_t value, std::uint8_t mask) {
  constexpr std::uint8_t kAny = flowtable::kFragAny;
  constexpr std::uint8_t kLater = flowtable::kFragLater;
  const std::uint8_t asked = mask & (kAny | kLater);
  if (asked == 0) return;
  if (asked == kLater) return items.add("nw_frag={}", (value & kLater) != 0 ? "later" : "not_later");
  if (asked == kAny) return items.add("nw_frag={}", (value & kAny) != 0 ? "yes" : "no");
  items.add("nw_frag={}", (value & kLater) != 0 ? "later" : (value & kAny) != 0 ? "first" : "no");
}

// OVS's order. `value` has no bits that `mask` has not.
void add_fields(Items& items, const FlowKey& value, const FlowKey& mask, const PortNames& ports) {
  add_protocol(items, value, mask);
  if (mask.in_port != 0) items.add("in_port={}", port_name(ports, value.in_port));
  add_tag(items, "dl_vlan", ntohs(value.outer_tci_be), ntohs(mask.outer_tci_be), (mask.tag_kinds & kTagBit) != 0,
          (value.tag_kinds & kTagBit) != 0);
  add_tpid(items, "dl_vlan", value.tag_kinds, mask.tag_kinds);
  add_tag(items, "inner_vlan", ntohs(value.inner_tci_be), ntohs(mask.inner_tci_be),
          (mask.tag_kinds >> 4U & kTagBit) != 0, (value.tag_kinds >> 4U & kTagBit) != 0);
  add_tpid(items, "inner_vlan", value.tag_kinds >> 4U, mask.tag_kinds >> 4U);
  add_mac(items, "dl_src", value.dl_src, mask.dl_src);
  add_mac(items, "dl_dst", value.dl_dst, mask.dl_dst);
  add_address(items, value, mask, &FlowKey::nw_src, true);
  add_address(items, value, mask, &FlowKey::nw_dst, false);
  add_protocol_number(items, value, mask);
  if (mask.nw_tos != 0) items.add("nw_tos={}", value.nw_tos);
  add_frag(items, value.nw_frag, mask.nw_frag);
  const bool icmp = is_icmp(value, mask);
  add_port(items, icmp ? "icmp_type" : "tp_src", value.tp_src_be, mask.tp_src_be);
  add_port(items, icmp ? "icmp_code" : "tp_dst", value.tp_dst_be, mask.tp_dst_be);
}

MacAddress mac_of(const Action& action) {
  MacAddress mac{};
  std::copy_n(action.bytes.begin(), mac.bytes.size(), mac.bytes.begin());
  return mac;
}

std::string ipv4_of(const Action& action) {
  return write_ipv4({action.bytes[0], action.bytes[1], action.bytes[2], action.bytes[3]});
}

// A rule pushes an empty tag; the bridge pushes one with everything in it, which OVS prints like this.
void add_push(Items& items, const Action& action) {
  std::uint16_t tpid_be = 0;
  std::memcpy(&tpid_be, action.bytes.data(), sizeof tpid_be);
  const std::uint16_t tpid = ntohs(tpid_be);
  if (action.value == 0) return items.add("push_vlan:0x{:04x}", tpid);
  items.add("push_vlan({}vid={},pcp={})", tpid == kDot1q ? "" : fmt::format("tpid=0x{:04x},", tpid),
            action.value & kVid, action.value >> 13U);
}

// What carries the numbers that set_tp_src and set_tp_dst set.
enum class Layer4 : std::uint8_t { ports, icmp, icmp6 };

Layer4 layer_4(const FlowKey& value, const FlowKey& mask) {
  if (satisfied(Needs::icmp4, value, mask)) return Layer4::icmp;
  return satisfied(Needs::icmp6, value, mask) ? Layer4::icmp6 : Layer4::ports;
}

void add_port_edit(Items& items, std::string_view icmp_field, std::string_view mod, unsigned value, Layer4 over) {
  if (over == Layer4::ports) return items.add("{}:{}", mod, value);
  items.add("set_field:{}->{}_{}", value, over == Layer4::icmp ? "icmp" : "icmpv6", icmp_field);
}

void add_action(Items& items, const Action& action, Layer4 over, const PortNames& ports) {
  switch (action.kind) {
    case ActionKind::output: return items.add("output:{}", port_name(ports, action.value));
    case ActionKind::drop:
      return items.add("drop ({})", ports::name(static_cast<sluice::ports::DropReason>(action.value)));
    case ActionKind::push_vlan: return add_push(items, action);
    case ActionKind::pop_vlan: return items.add("strip_vlan");
    case ActionKind::set_vlan_vid: return items.add("mod_vlan_vid:{}", action.value);
    case ActionKind::set_vlan_pcp: return items.add("mod_vlan_pcp:{}", action.value);
    case ActionKind::set_dl_src: return items.add("mod_dl_src:{}", write_mac(mac_of(action)));
    case ActionKind::set_dl_dst: return items.add("mod_dl_dst:{}", write_mac(mac_of(action)));
    case ActionKind::set_nw_src: return items.add("mod_nw_src:{}", ipv4_of(action));
    case ActionKind::set_nw_dst: return items.add("mod_nw_dst:{}", ipv4_of(action));
    case ActionKind::set_ipv6_src: return items.add("set_field:{}->ipv6_src", write_ipv6(action.bytes));
    case ActionKind::set_ipv6_dst: return items.add("set_field:{}->ipv6_dst", write_ipv6(action.bytes));
    case ActionKind::set_nw_tos: return items.add("mod_nw_tos:{}", action.value);
    case ActionKind::set_tp_src: return add_port_edit(items, "type", "mod_tp_src", action.value, over);
    case ActionKind::set_tp_dst: return add_port_edit(items, "code", "mod_tp_dst", action.value, over);
    case ActionKind::dec_ttl: return items.add("dec_ttl");
  }
}

void add_rule_action(Items& items, const RuleAction& action, Layer4 over, const PortNames& ports) {
  switch (action.kind) {
    case RuleAction::Kind::normal: return items.add("normal");
    case RuleAction::Kind::flood: return items.add("flood");
    case RuleAction::Kind::in_port: return items.add("in_port");
    case RuleAction::Kind::edit: return add_action(items, action.action, over, ports);
  }
}

// What the class says of ethertype and protocol, for keys whose mask does not ask for them.
void say_class(FlowKey& value, FlowKey& mask, PacketClass c) {
  const auto& facts = class_facts(c);
  value = merged(masked(value, mask), facts.value);
  mask.ethertype_be |= facts.mask.ethertype_be;
  if (c != PacketClass::other) mask.nw_proto |= facts.mask.nw_proto;
}

}  // namespace

std::string format_rule(const Rule& rule, const PortNames& ports) {
  Items match;
  if (rule.priority != Rule{}.priority) match.add("priority={}", rule.priority);
  add_fields(match, rule.value, rule.mask, ports);
  Items actions;
  const Layer4 over = layer_4(rule.value, rule.mask);
  for (const auto& action : rule.actions) add_rule_action(actions, action, over, ports);
  if (rule.actions.empty()) actions.add("drop");
  const std::string fields = match.take();
  return fields + (fields.empty() ? "actions=" : " actions=") + actions.take();
}

std::string format_key(const FlowKey& key, const FlowKey& mask, const PortNames& ports) {
  const auto c = static_cast<PacketClass>(key.packet_class);
  FlowKey value = key;
  FlowKey asked = mask;
  say_class(value, asked, c);
  // What a class does not have is zero, and not worth a word.
  if (c == PacketClass::other) {
    asked.nw_proto = 0;
    asked.nw_tos = 0;
    asked.nw_frag = 0;
    asked.nw_src = {};
    asked.nw_dst = {};
  }
  if ((class_facts(c).mask.tp_src_be) != 0) asked.tp_src_be = asked.tp_dst_be = 0;
  if (c == PacketClass::arp) asked.nw_tos = asked.nw_frag = 0;
  const bool fragment = c == PacketClass::ipv4_fragment || c == PacketClass::ipv6_fragment;
  if (fragment) asked.nw_frag = flowtable::kFragAny | flowtable::kFragLater;
  Items items;
  add_fields(items, masked(value, asked), asked, ports);
  return items.take();
}

std::string format_actions(const flowtable::ActionList& actions, const PortNames& ports) {
  Items items;
  for (const auto& action : actions.actions()) add_action(items, action, Layer4::ports, ports);
  return items.take();
}

}  // namespace sluice::control
