// random_rule: dice.
#include "tests/unit/rules/random_rule.hpp"

#include <netinet/in.h>

#include <algorithm>
#include <array>

namespace sluice::control::testing {
namespace {

using flowtable::Action;
using flowtable::ActionKind;
using flowtable::FlowKey;
using flowtable::MacAddress;
using flowtable::PacketClass;

constexpr std::uint16_t kIpv4Type = 0x0800, kArpType = 0x0806, kIpv6Type = 0x86dd;

template <std::size_t N>
std::uint16_t pick(Random& random, const std::uint16_t (&values)[N]) {
  return values[below(random, N)];
}

std::uint16_t random_port_be(Random& random) { return htons(pick(random, {0, 1, 2, 3, 22, 80, 0x8001})); }
std::uint8_t byte(unsigned value) { return static_cast<std::uint8_t>(value); }

MacAddress random_mac(Random& random) {
  return {{byte(one_in(random, 4) ? 1 : 2), 0, 0, 0, byte(below(random, 2)), byte(below(random, 3))}};
}

MacAddress random_mac_mask(Random& random) {
  switch (below(random, 4)) {
    case 0: return {{1, 0, 0, 0, 0, 0}};
    case 1: return {{0xff, 0xff, 0xff, 0, 0xf0, 0x01}};
  }
  return {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};
}

void random_address(Random& random, std::array<std::uint8_t, 16>& address, bool v6) {
  if (v6) address[0] = 0xfd;
  if (v6) address[1] = byte(below(random, 2));
  address[12] = v6 ? 0 : 10;
  address[14] = byte(below(random, 2));
  address[15] = byte(below(random, 4));
}

void random_address_mask(Random& random, std::array<std::uint8_t, 16>& mask, bool v6) {
  const std::size_t begin = v6 ? 0 : 12;
  const unsigned bits = v6 ? 128 : 32;
  if (one_in(random, 4)) {
    mask[begin] = 0xff;
    mask[15] = byte(1 + below(random, 3));
    return;
  }
  const unsigned length = one_in(random, 2) ? bits : 1 + below(random, bits);
  for (unsigned i = 0; i < length; ++i) mask[begin + i / 8] = byte(mask[begin + i / 8] | 0x80U >> i % 8);
}

struct Match {
  FlowKey value{};
  FlowKey mask{};
};

void set_type(Match& match, std::uint16_t type) {
  match.value.ethertype_be = htons(type);
  match.mask.ethertype_be = 0xffff;
}

void random_vlan(Random& random, Match& match) {
  match.mask.tag_kinds = 1;
  const unsigned kind = below(random, 5);
  if (kind == 0) return;  // no tag
  match.value.tag_kinds = 1;
  if (kind == 1 || kind == 2) match.mask.outer_tci_be |= htons(0x0fff);
  if (kind == 2 || kind == 3) match.mask.outer_tci_be |= htons(0xe000);
  if (kind == 4) match.mask.outer_tci_be = htons(0x2003);
  match.value.outer_tci_be = htons(static_cast<std::uint16_t>(below(random, 8) << 13U | below(random, 4)));
}

void random_ports(Random& random, Match& match) {
  for (auto* field : {&match.mask.tp_src_be, &match.mask.tp_dst_be}) {
    if (one_in(random, 2)) *field = one_in(random, 3) ? htons(0xfffe) : std::uint16_t{0xffff};
  }
  match.value.tp_src_be = random_port_be(random);
  match.value.tp_dst_be = random_port_be(random);
}

void random_icmp(Random& random, Match& match) {
  if (one_in(random, 2)) match.mask.tp_src_be = 0xffff;
  if (one_in(random, 2)) match.mask.tp_dst_be = 0xffff;
  match.value.tp_src_be = htons(pick(random, {0, 3, 8, 135, 255}));
  match.value.tp_dst_be = htons(pick(random, {0, 1, 255}));
}

void random_ip(Random& random, Match& match, bool v6) {
  if (one_in(random, 4)) match.mask.nw_tos = 0xfc;
  match.value.nw_tos = byte(below(random, 2) * 4);
  if (one_in(random, 4)) {
    constexpr std::array<std::array<std::uint8_t, 2>, 5> kFrags{{{0, 3}, {1, 1}, {1, 3}, {3, 3}, {0, 2}}};
    const auto frag = kFrags[below(random, kFrags.size())];
    match.value.nw_frag = frag[0];
    match.mask.nw_frag = frag[1];
  }
  if (one_in(random, 3)) return;
  match.mask.nw_proto = 0xff;
  const std::uint8_t icmp = v6 ? 58 : 1;
  match.value.nw_proto = byte(pick(random, {6, 6, 17, 17, 132, icmp, 2, 47, 0}));
  const auto proto = match.value.nw_proto;
  if ((match.value.nw_frag & match.mask.nw_frag & flowtable::kFragLater) != 0) return;  // has no ports
  if (proto == 6 || proto == 17 || proto == 132) random_ports(random, match);
  if (proto == icmp) random_icmp(random, match);
}

void random_network(Random& random, Match& match) {
  const std::uint16_t type =
      pick(random, {kIpv4Type, kIpv4Type, kIpv4Type, kIpv6Type, kIpv6Type, kArpType, 0x88cc, 0x05ff});
  set_type(match, type);
  if (type == 0x88cc || type == 0x05ff) return;
  const bool v6 = type == kIpv6Type;
  random_address(random, match.value.nw_src, v6);
  random_address(random, match.value.nw_dst, v6);
  if (one_in(random, 2)) random_address_mask(random, match.mask.nw_src, v6);
  if (one_in(random, 2)) random_address_mask(random, match.mask.nw_dst, v6);
  if (type != kArpType) return random_ip(random, match, v6);
  if (one_in(random, 2)) match.mask.nw_proto = 0xff;
  match.value.nw_proto = byte(1 + below(random, 2));
}

Action mac_action(Random& random, ActionKind kind) {
  Action action{.kind = kind};
  std::ranges::copy(random_mac(random).bytes, action.bytes.begin());
  return action;
}

Action address_action(Random& random, ActionKind kind, bool v6) {
  std::array<std::uint8_t, 16> address{};
  random_address(random, address, v6);
  Action action{.kind = kind};
  if (v6) {
    action.bytes = address;
  } else {
    std::copy_n(address.begin() + 12, 4, action.bytes.begin());
  }
  return action;
}

Action number_action(ActionKind kind, unsigned value) {
  return {.kind = kind, .value = static_cast<std::uint16_t>(value)};
}

Action push_action(Random& random) {
  Action action{.kind = ActionKind::push_vlan};
  const bool s_tag = one_in(random, 2);
  action.bytes[0] = s_tag ? 0x88 : 0x81;
  action.bytes[1] = s_tag ? 0xa8 : 0x00;
  return action;
}

// Those that fit the match.
std::vector<Action> possible_edits(Random& random, const Match& match) {
  std::vector<Action> edits{number_action(ActionKind::output, below(random, kPorts)),
                            push_action(random),
                            number_action(ActionKind::pop_vlan, 0),
                            number_action(ActionKind::set_vlan_vid, below(random, 4096)),
                            number_action(ActionKind::set_vlan_pcp, below(random, 8)),
                            mac_action(random, ActionKind::set_dl_src),
                            mac_action(random, ActionKind::set_dl_dst)};
  const std::uint16_t type = match.mask.ethertype_be == 0 ? std::uint16_t{0} : ntohs(match.value.ethertype_be);
  if (type == kIpv4Type || type == kArpType) {
    edits.push_back(address_action(random, ActionKind::set_nw_src, false));
    edits.push_back(address_action(random, ActionKind::set_nw_dst, false));
  }
  if (type == kIpv6Type) {
    edits.push_back(address_action(random, ActionKind::set_ipv6_src, true));
    edits.push_back(address_action(random, ActionKind::set_ipv6_dst, true));
  }
  if (type != kIpv4Type && type != kIpv6Type) return edits;
  edits.push_back(number_action(ActionKind::dec_ttl, 0));
  edits.push_back(number_action(ActionKind::set_nw_tos, below(random, 64) * 4));
  const bool later = (match.value.nw_frag & match.mask.nw_frag & flowtable::kFragLater) != 0;
  if (match.mask.nw_proto == 0 || later) return edits;
  const auto proto = match.value.nw_proto;
  const bool icmp = (type == kIpv4Type && proto == 1) || (type == kIpv6Type && proto == 58);
  if (!icmp && proto != 6 && proto != 17 && proto != 132) return edits;
  edits.push_back(number_action(ActionKind::set_tp_src, below(random, icmp ? 256 : 65536)));
  edits.push_back(number_action(ActionKind::set_tp_dst, below(random, icmp ? 256 : 65536)));
  return edits;
}

RuleAction random_action(Random& random, const Match& match) {
  switch (below(random, 8)) {
    case 0: return {RuleAction::Kind::normal};
    case 1: return {RuleAction::Kind::flood};
    case 2: return {RuleAction::Kind::in_port};
  }
  const auto edits = possible_edits(random, match);
  return {RuleAction::Kind::edit, edits[below(random, static_cast<unsigned>(edits.size()))]};
}

}  // namespace

PortNames numbered_ports() {
  PortNames ports;
  for (flowtable::PortId id = 0; id < kPorts; ++id) ports.add(std::to_string(id + 1), id);
  return ports;
}

unsigned below(Random& random, unsigned n) { return static_cast<unsigned>(random() % n); }

Rule random_rule(Random& random) {
  Match match;
  if (one_in(random, 3)) {
    match.value.in_port = static_cast<flowtable::PortId>(below(random, kPorts));
    match.mask.in_port = 0xffff;
  }
  if (one_in(random, 3)) random_vlan(random, match);
  if (one_in(random, 4)) match.mask.dl_src = random_mac_mask(random);
  if (one_in(random, 4)) match.mask.dl_dst = random_mac_mask(random);
  match.value.dl_src = random_mac(random);
  match.value.dl_dst = random_mac(random);
  if (!one_in(random, 5)) random_network(random, match);
  Rule rule;
  rule.priority = pick(random, {0, 1, 2, 3, 100, 32768, 65535});
  rule.value = masked(match.value, match.mask);
  rule.mask = match.mask;
  for (unsigned n = below(random, 4); n > 0; --n) rule.actions.push_back(random_action(random, match));
  return rule;
}

FlowKey random_key(Random& random, PacketClass c, flowtable::PortId in_port) {
  FlowKey key{};
  key.in_port = in_port;
  const unsigned outer = below(random, 3);
  if (outer != 0) {
    key.tag_kinds = outer == 1 ? 1 : 3;
    key.outer_tci_be = htons(static_cast<std::uint16_t>(below(random, 8) << 13U | below(random, 4)));
  }
  key.dl_src = random_mac(random);
  key.dl_dst = random_mac(random);
  key.ethertype_be = htons(pick(random, {0x88cc, 0x05ff, kIpv4Type, kIpv6Type, kArpType}));
  key.nw_proto = byte(pick(random, {6, 17, 132, 1, 2, 58, 47, 0}));
  key.nw_tos = byte(below(random, 8));
  const bool v6 = c >= PacketClass::ipv6_other;
  random_address(random, key.nw_src, v6);
  random_address(random, key.nw_dst, v6);
  key.nw_frag = byte(below(random, 2));
  const bool icmp = c == PacketClass::ipv4_icmp || c == PacketClass::ipv6_icmp;
  key.tp_src_be = icmp ? htons(pick(random, {0, 3, 8, 135})) : random_port_be(random);
  key.tp_dst_be = icmp ? htons(pick(random, {0, 1})) : random_port_be(random);
  const auto& facts = class_facts(c);
  FlowKey open{};
  auto* bytes = reinterpret_cast<std::uint8_t*>(&open);
  const auto* fixed = reinterpret_cast<const std::uint8_t*>(&facts.mask);
  for (std::size_t i = 0; i < sizeof open; ++i) bytes[i] = byte(~fixed[i] & 0xffU);
  return merged(masked(key, open), facts.value);
}

PacketClass random_class(Random& random) {
  return static_cast<PacketClass>(below(random, static_cast<unsigned>(flowtable::kPacketClasses)));
}

bool same_rule(const Rule& a, const Rule& b) {
  return a.priority == b.priority && a.value == b.value && a.mask == b.mask && a.actions == b.actions;
}

}  // namespace sluice::control::testing
