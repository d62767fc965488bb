// field_value: one case a field, without `default`, so that the compiler names what a new field lacks.
#include "control/rules/field_value.hpp"

#include <fmt/format.h>
#include <netinet/in.h>

#include <algorithm>
#include <optional>

#include "control/rules/ethertype.hpp"
#include "control/rules/nearest.hpp"
#include "control/rules/scanner.hpp"
#include "control/rules/values.hpp"

namespace sluice::control {
namespace {

using flowtable::Action;
using flowtable::ActionKind;
using flowtable::FlowKey;
using flowtable::MacAddress;

constexpr std::uint8_t kTagBit = 1;  // of FlowKey::tag_kinds: there is an outer tag
constexpr std::uint16_t kVid = 0x0fff;
constexpr std::uint16_t kPcpShift = 13;
constexpr std::uint8_t kDscp = 0xfc;

tl::unexpected<std::string> wrong(std::string message) { return tl::unexpected(std::move(message)); }

struct Split {
  std::string_view value;
  std::optional<std::string_view> mask;
};

Split split(std::string_view text) {
  const std::size_t slash = text.find('/');
  if (slash == std::string_view::npos) return {text, std::nullopt};
  return {text.substr(0, slash), text.substr(slash + 1)};
}

struct MaskedNumber {
  std::uint16_t value, mask;
};

ValueResult<MaskedNumber> read_masked_number(std::uint16_t max, std::string_view name, std::string_view text) {
  const auto [value_text, mask_text] = split(text);
  const auto value = read_number_to(max, name, value_text);
  if (!value) return wrong(value.error());
  std::uint16_t mask = max;
  if (mask_text) {
    const auto given = read_number_to(max, fmt::format("{}'s mask", name), *mask_text);
    if (!given) return wrong(given.error());
    mask = *given;
  }
  return MaskedNumber{static_cast<std::uint16_t>(*value & mask), mask};
}

// VID, PCP and "there is a tag" in the place of the DEI.
ValueResult<MatchBits> tci_bits(std::string_view name, MaskedNumber tci) {
  MatchBits bits;
  if ((tci.mask & kTagPresent) != 0) {
    bits.mask.tag_kinds = kTagBit;
    if ((tci.value & kTagPresent) == 0) {
      if (tci.value != 0) {
        return wrong(fmt::format("{} without 0x1000 means no tag, which has neither VID nor PCP; add 0x1000 (0x{:x})",
                                 name, tci.value | kTagPresent));
      }
      return bits;
    }
    bits.value.tag_kinds = kTagBit;
  }
  bits.value.outer_tci_be = htons(static_cast<std::uint16_t>(tci.value & ~kTagPresent));
  bits.mask.outer_tci_be = htons(static_cast<std::uint16_t>(tci.mask & ~kTagPresent));
  return bits;
}

ValueResult<MatchBits> read_vlan(std::string_view name, std::string_view text) {
  const auto number = read_number(text);
  if (number == 0xffffU) return tci_bits(name, {0, kTagPresent});
  if (!number || *number > kVid) {
    return wrong(fmt::format("{} is a number from 0 to 4095, or 0xffff for no tag, not {}", name, quoted(text)));
  }
  return tci_bits(name, {static_cast<std::uint16_t>(*number | kTagPresent), kVid | kTagPresent});
}

ValueResult<MatchBits> read_pcp(std::string_view name, std::string_view text) {
  const auto pcp = read_number_to(7, name, text);
  if (!pcp) return wrong(pcp.error());
  return tci_bits(name, {static_cast<std::uint16_t>(*pcp << kPcpShift | kTagPresent), 7U << kPcpShift | kTagPresent});
}

ValueResult<MatchBits> read_tci(std::string_view name, std::uint16_t max, std::string_view text) {
  const auto tci = read_masked_number(max, name, text);
  if (!tci) return wrong(tci.error());
  return tci_bits(name, *tci);
}

ValueResult<MatchBits> read_port(std::string_view text, const PortNames& ports) {
  const auto id = ports.id(text);
  if (!id) {
    std::vector<std::string_view> names;
    for (const auto& [name, unused] : ports.all()) names.push_back(name);
    return wrong(fmt::format("there is no port {}{}", quoted(text), did_you_mean(text, names, there_are(names))));
  }
  MatchBits bits;
  bits.value.in_port = *id;
  bits.mask.in_port = 0xffff;
  return bits;
}

ValueResult<MatchBits> read_dl_type(std::string_view name, std::string_view text) {
  const auto type = read_number(text);
  if (!type || *type < kNoEthertype || *type > 0xffff) {
    return wrong(fmt::format("{} is a number from 0x0600 to 0xffff, or 0x05ff for frames without one, not {}", name,
                             quoted(text)));
  }
  return protocol_bits({name, static_cast<std::uint16_t>(*type), -1});
}

ValueResult<MacAddress> read_mac_or_say(std::string_view name, std::string_view text) {
  const auto mac = read_mac(text);
  if (!mac) return wrong(fmt::format("{} is an Ethernet address like 02:00:00:00:00:01, not {}", name, quoted(text)));
  return *mac;
}

ValueResult<MatchBits> read_mac_field(MacAddress FlowKey::*field, std::string_view name, std::string_view text) {
  const auto [value_text, mask_text] = split(text);
  const auto value = read_mac_or_say(name, value_text);
  if (!value) return wrong(value.error());
  MacAddress mask{{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};
  if (mask_text) {
    const auto given = read_mac_or_say(fmt::format("{}'s mask", name), *mask_text);
    if (!given) return wrong(given.error());
    mask = *given;
  }
  MatchBits bits;
  bits.value.*field = *value;
  bits.mask.*field = mask;
  bits.value = masked(bits.value, bits.mask);
  return bits;
}

template <std::size_t N>
ValueResult<std::array<std::uint8_t, N>> read_address(std::string_view name, std::string_view text) {
  if constexpr (N == 4) {
    if (const auto address = read_ipv4(text)) return *address;
    return wrong(fmt::format("{} is an IPv4 address like 10.0.0.1, not {}", name, quoted(text)));
  } else {
    if (const auto address = read_ipv6(text)) return *address;
    return wrong(fmt::format("{} is an IPv6 address like fd00::1, not {}", name, quoted(text)));
  }
}

template <std::size_t N>
ValueResult<std::array<std::uint8_t, N>> read_address_mask(std::string_view name, std::string_view text) {
  constexpr std::string_view kSeparator = N == 4 ? "." : ":";
  if (text.find(kSeparator) != std::string_view::npos) return read_address<N>(fmt::format("{}'s mask", name), text);
  const auto length = read_number_to(8 * N, fmt::format("{}'s prefix length", name), text);
  if (!length) return wrong(length.error());
  return prefix_mask<N>(*length);
}

// N = 4: IPv4, in the last four bytes.
template <std::size_t N>
ValueResult<MatchBits> read_address_field(Ipv6 FlowKey::*field, std::string_view name, std::string_view text) {
  const auto [value_text, mask_text] = split(text);
  const auto value = read_address<N>(name, value_text);
  if (!value) return wrong(value.error());
  std::array<std::uint8_t, N> mask = prefix_mask<N>(8 * N);
  if (mask_text) {
    const auto given = read_address_mask<N>(name, *mask_text);
    if (!given) return wrong(given.error());
    mask = *given;
  }
  MatchBits bits;
  std::ranges::copy(*value, (bits.value.*field).end() - N);
  std::ranges::copy(mask, (bits.mask.*field).end() - N);
  bits.value = masked(bits.value, bits.mask);
  return bits;
}

ValueResult<MatchBits> read_proto(std::string_view name, std::string_view text) {
  const auto proto = read_number_to(0xff, name, text);
  if (!proto) return wrong(proto.error());
  MatchBits bits;
  bits.value.nw_proto = static_cast<std::uint8_t>(*proto);
  bits.mask.nw_proto = 0xff;
  return bits;
}

// The DSCP in the upper six bits: nw_tos as it is, or a DSCP to be shifted there.
ValueResult<std::uint8_t> read_dscp(Field field, std::string_view name, std::string_view text) {
  if (field == Field::ip_dscp) {
    const auto dscp = read_number_to(63, name, text);
    if (!dscp) return wrong(dscp.error());
    return static_cast<std::uint8_t>(*dscp << 2U);
  }
  const auto tos = read_number_to(0xff, name, text);
  if (!tos) return wrong(tos.error());
  if ((*tos & ~kDscp) != 0) {
    return wrong(fmt::format("{} is a DSCP times 4, so a multiple of 4 (the ECN bits are left alone), not {}", name,
                             quoted(text)));
  }
  return static_cast<std::uint8_t>(*tos);
}

ValueResult<MatchBits> read_tos(Field field, std::string_view name, std::string_view text) {
  const auto tos = read_dscp(field, name, text);
  if (!tos) return wrong(tos.error());
  MatchBits bits;
  bits.value.nw_tos = *tos;
  bits.mask.nw_tos = kDscp;
  return bits;
}

ValueResult<MatchBits> read_ports(std::uint16_t FlowKey::*field, std::string_view name, std::string_view text) {
  const auto port = read_masked_number(0xffff, name, text);
  if (!port) return wrong(port.error());
  MatchBits bits;
  bits.value.*field = htons(port->value);
  bits.mask.*field = htons(port->mask);
  return bits;
}

ValueResult<MatchBits> read_icmp(std::uint16_t FlowKey::*field, std::string_view name, std::string_view text) {
  const auto number = read_number_to(0xff, name, text);
  if (!number) return wrong(number.error());
  MatchBits bits;
  bits.value.*field = htons(*number);
  bits.mask.*field = 0xffff;
  return bits;
}

ValueResult<MatchBits> read_frag(std::string_view name, std::string_view text) {
  constexpr std::uint8_t any = flowtable::kFragAny;
  constexpr std::uint8_t later = flowtable::kFragLater;
  const auto bits = [](std::uint8_t value, std::uint8_t mask) {
    MatchBits frag;
    frag.value.nw_frag = value;
    frag.mask.nw_frag = mask;
    return frag;
  };
  if (text == "no") return bits(0, any | later);
  if (text == "yes") return bits(any, any);
  if (text == "first") return bits(any, any | later);
  if (text == "later") return bits(any | later, any | later);
  if (text == "not_later") return bits(0, later);
  return wrong(fmt::format("{} is no, yes, first, later or not_later, not {}", name, quoted(text)));
}

ValueResult<Action> number_action(ActionKind kind, std::uint16_t max, std::string_view name, std::string_view text) {
  const auto number = read_number_to(max, name, text);
  if (!number) return wrong(number.error());
  return Action{.kind = kind, .value = *number};
}

ValueResult<Action> mac_action(ActionKind kind, std::string_view name, std::string_view text) {
  const auto mac = read_mac_or_say(name, text);
  if (!mac) return wrong(mac.error());
  Action action{.kind = kind};
  std::ranges::copy(mac->bytes, action.bytes.begin());
  return action;
}

template <std::size_t N>
ValueResult<Action> address_action(ActionKind kind, std::string_view name, std::string_view text) {
  const auto address = read_address<N>(name, text);
  if (!address) return wrong(address.error());
  Action action{.kind = kind};
  std::ranges::copy(*address, action.bytes.begin());
  return action;
}

ValueResult<Action> tos_action(Field field, std::string_view name, std::string_view text) {
  const auto tos = read_dscp(field, name, text);
  if (!tos) return wrong(tos.error());
  return Action{.kind = ActionKind::set_nw_tos, .value = *tos};
}

// OpenFlow's vlan_vid has 0x1000 for "there is a tag", which the action implies.
ValueResult<Action> vid_action(std::string_view name, std::string_view text) {
  auto action = number_action(ActionKind::set_vlan_vid, kTagPresent | kVid, name, text);
  if (action) action->value &= kVid;
  return action;
}

}  // namespace

ValueResult<std::uint16_t> read_number_to(std::uint16_t max, std::string_view name, std::string_view text) {
  const auto number = read_number(text);
  if (!number || *number > max) {
    return wrong(fmt::format("{} is a number from 0 to {}, not {}", name, max, quoted(text)));
  }
  return static_cast<std::uint16_t>(*number);
}

MatchBits protocol_bits(const ProtocolWord& word) {
  MatchBits bits;
  bits.value.ethertype_be = htons(word.ethertype);
  bits.mask.ethertype_be = 0xffff;
  if (word.protocol >= 0) {
    bits.value.nw_proto = static_cast<std::uint8_t>(word.protocol);
    bits.mask.nw_proto = 0xff;
  }
  return bits;
}

ValueResult<MatchBits> read_match_value(const FieldWord& word, std::string_view text, const PortNames& ports) {
  const auto name = word.name;
  switch (word.field) {
    case Field::in_port: return read_port(text, ports);
    case Field::dl_src: return read_mac_field(&FlowKey::dl_src, name, text);
    case Field::dl_dst: return read_mac_field(&FlowKey::dl_dst, name, text);
    case Field::dl_vlan: return read_vlan(name, text);
    case Field::vlan_pcp: return read_pcp(name, text);
    case Field::vlan_vid: return read_tci(name, kTagPresent | kVid, text);
    case Field::vlan_tci: return read_tci(name, 0xffff, text);
    case Field::dl_type: return read_dl_type(name, text);
    case Field::nw_src: return read_address_field<4>(&FlowKey::nw_src, name, text);
    case Field::nw_dst: return read_address_field<4>(&FlowKey::nw_dst, name, text);
    case Field::ipv6_src: return read_address_field<16>(&FlowKey::nw_src, name, text);
    case Field::ipv6_dst: return read_address_field<16>(&FlowKey::nw_dst, name, text);
    case Field::nw_proto: return read_proto(name, text);
    case Field::nw_tos:
    case Field::ip_dscp: return read_tos(word.field, name, text);
    case Field::tp_src: return read_ports(&FlowKey::tp_src_be, name, text);
    case Field::tp_dst: return read_ports(&FlowKey::tp_dst_be, name, text);
    case Field::icmp_type: return read_icmp(&FlowKey::tp_src_be, name, text);
    case Field::icmp_code: return read_icmp(&FlowKey::tp_dst_be, name, text);
    case Field::ip_frag: return read_frag(name, text);
  }
  return wrong("no such field");
}

ValueResult<Action> read_edit(Field field, std::string_view name, std::string_view text) {
  switch (field) {
    case Field::dl_src: return mac_action(ActionKind::set_dl_src, name, text);
    case Field::dl_dst: return mac_action(ActionKind::set_dl_dst, name, text);
    case Field::dl_vlan: return number_action(ActionKind::set_vlan_vid, kVid, name, text);
    case Field::vlan_vid: return vid_action(name, text);
    case Field::vlan_pcp: return number_action(ActionKind::set_vlan_pcp, 7, name, text);
    case Field::nw_src: return address_action<4>(ActionKind::set_nw_src, name, text);
    case Field::nw_dst: return address_action<4>(ActionKind::set_nw_dst, name, text);
    case Field::ipv6_src: return address_action<16>(ActionKind::set_ipv6_src, name, text);
    case Field::ipv6_dst: return address_action<16>(ActionKind::set_ipv6_dst, name, text);
    case Field::nw_tos:
    case Field::ip_dscp: return tos_action(field, name, text);
    case Field::tp_src: return number_action(ActionKind::set_tp_src, 0xffff, name, text);
    case Field::tp_dst: return number_action(ActionKind::set_tp_dst, 0xffff, name, text);
    case Field::icmp_type: return number_action(ActionKind::set_tp_src, 0xff, name, text);
    case Field::icmp_code: return number_action(ActionKind::set_tp_dst, 0xff, name, text);
    case Field::in_port:
    case Field::vlan_tci:
    case Field::dl_type:
    case Field::nw_proto:
    case Field::ip_frag: break;
  }
  return wrong(fmt::format("{} can be matched but not set", name));
}

}  // namespace sluice::control
