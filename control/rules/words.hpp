// words: the words of the rule syntax, as tables. A new match field or action starts with a row here.
//
// The syntax is that of ovs-ofctl flows: ovs-fields(7), ovs-actions(7).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "flowtable/action.hpp"
#include "flowtable/flow_key.hpp"

namespace sluice::control {

/// What a match field reads. Several words may mean one field: nw_src, ip_src and arp_spa do.
enum class Field : std::uint8_t {
  in_port,
  dl_src,
  dl_dst,
  dl_vlan,
  vlan_pcp,
  vlan_vid,  ///< the VID and "there is a tag"
  vlan_tci,  ///< PCP, "there is a tag", VID
  dl_type,
  nw_src,
  nw_dst,
  ipv6_src,
  ipv6_dst,
  nw_proto,
  nw_tos,
  ip_dscp,
  tp_src,
  tp_dst,
  icmp_type,
  icmp_code,
  ip_frag,
};

/// What the rest of a match must say for a field or an action to mean something.
enum class Needs : std::uint8_t {
  nothing,
  ipv4_or_arp,
  ipv4,
  arp,
  ipv6,
  ip,     ///< IPv4 or IPv6
  proto,  ///< IPv4, IPv6 or ARP
  // From here on a header of layer 4, which later fragments have not.
  ports,  ///< TCP, UDP or SCTP
  tcp,
  udp,
  sctp,
  icmp,  ///< over IPv4 or IPv6
  icmp4,
  icmp6,
};

/// `name` as a match field, and as the target of set_field.
struct FieldWord {
  std::string_view name;
  Field field;
  Needs needs;
};

/// `name` alone in a match: an ethertype and, if any, a protocol.
struct ProtocolWord {
  std::string_view name;
  std::uint16_t ethertype;
  std::int16_t protocol;  ///< -1: any
};

/// mod_…:VALUE in actions: `field` is set.
struct ModWord {
  std::string_view name;
  Field field;
  Needs needs;
};

[[nodiscard]] std::span<const FieldWord> field_words();
[[nodiscard]] std::span<const ProtocolWord> protocol_words();
[[nodiscard]] std::span<const ModWord> mod_words();

/// Null if there is no such word.
[[nodiscard]] const FieldWord* find_field(std::string_view name);
[[nodiscard]] const ProtocolWord* find_protocol(std::string_view name);
[[nodiscard]] const ModWord* find_mod(std::string_view name);

/// True if a match with this value and mask satisfies `needs`.
[[nodiscard]] bool satisfied(Needs needs, const flowtable::FlowKey& value, const flowtable::FlowKey& mask);
/// What `what` lacks, for people: "tp_dst needs tcp, udp or sctp (…) in the match". Empty if it is satisfied.
[[nodiscard]] std::string unmet_need(std::string_view what, Needs needs, const flowtable::FlowKey& value,
                                     const flowtable::FlowKey& mask);

/// Words that may stand in a match, and words that may stand in actions; for suggestions.
[[nodiscard]] std::span<const std::string_view> match_words();
[[nodiscard]] std::span<const std::string_view> action_words();

/// What a message says of a word that is none of them, nor near one.
inline constexpr std::string_view kSeeHelp = "; `sluice rule add --help` lists those there are";

/// True for names that a port cannot have, since a rule could not name it: every word of the syntax, in any case, and
/// the port names that OpenFlow reserves.
[[nodiscard]] bool is_reserved_word(std::string_view name);

/// ASCII, any case.
[[nodiscard]] bool same_word(std::string_view a, std::string_view b);

}  // namespace sluice::control
