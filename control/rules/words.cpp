// words: the tables, and how a word is found in them.
#include "control/rules/words.hpp"

#include <fmt/format.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>

#include "control/rules/ethertype.hpp"

namespace sluice::control {
namespace {

constexpr auto kFields = std::to_array<FieldWord>({
    {"in_port", Field::in_port, Needs::nothing},      {"dl_src", Field::dl_src, Needs::nothing},
    {"eth_src", Field::dl_src, Needs::nothing},       {"dl_dst", Field::dl_dst, Needs::nothing},
    {"eth_dst", Field::dl_dst, Needs::nothing},       {"dl_vlan", Field::dl_vlan, Needs::nothing},
    {"dl_vlan_pcp", Field::vlan_pcp, Needs::nothing}, {"vlan_pcp", Field::vlan_pcp, Needs::nothing},
    {"vlan_vid", Field::vlan_vid, Needs::nothing},    {"vlan_tci", Field::vlan_tci, Needs::nothing},
    {"dl_type", Field::dl_type, Needs::nothing},      {"eth_type", Field::dl_type, Needs::nothing},
    {"nw_src", Field::nw_src, Needs::ipv4_or_arp},    {"ip_src", Field::nw_src, Needs::ipv4},
    {"arp_spa", Field::nw_src, Needs::arp},           {"nw_dst", Field::nw_dst, Needs::ipv4_or_arp},
    {"ip_dst", Field::nw_dst, Needs::ipv4},           {"arp_tpa", Field::nw_dst, Needs::arp},
    {"ipv6_src", Field::ipv6_src, Needs::ipv6},       {"ipv6_dst", Field::ipv6_dst, Needs::ipv6},
    {"nw_proto", Field::nw_proto, Needs::proto},      {"ip_proto", Field::nw_proto, Needs::ip},
    {"arp_op", Field::nw_proto, Needs::arp},          {"nw_tos", Field::nw_tos, Needs::ip},
    {"ip_dscp", Field::ip_dscp, Needs::ip},           {"tp_src", Field::tp_src, Needs::ports},
    {"tp_dst", Field::tp_dst, Needs::ports},          {"tcp_src", Field::tp_src, Needs::tcp},
    {"tcp_dst", Field::tp_dst, Needs::tcp},           {"udp_src", Field::tp_src, Needs::udp},
    {"udp_dst", Field::tp_dst, Needs::udp},           {"sctp_src", Field::tp_src, Needs::sctp},
    {"sctp_dst", Field::tp_dst, Needs::sctp},         {"icmp_type", Field::icmp_type, Needs::icmp},
    {"icmp_code", Field::icmp_code, Needs::icmp},     {"icmpv4_type", Field::icmp_type, Needs::icmp4},
    {"icmpv4_code", Field::icmp_code, Needs::icmp4},  {"icmpv6_type", Field::icmp_type, Needs::icmp6},
    {"icmpv6_code", Field::icmp_code, Needs::icmp6},  {"ip_frag", Field::ip_frag, Needs::ip},
    {"nw_frag", Field::ip_frag, Needs::ip},
});

// The first that fits is the one that is written, so the narrower come first.
constexpr auto kProtocols = std::to_array<ProtocolWord>({
    {"icmp", kIpv4, IPPROTO_ICMP},
    {"tcp", kIpv4, IPPROTO_TCP},
    {"udp", kIpv4, IPPROTO_UDP},
    {"sctp", kIpv4, IPPROTO_SCTP},
    {"ip", kIpv4, -1},
    {"icmp6", kIpv6, IPPROTO_ICMPV6},
    {"tcp6", kIpv6, IPPROTO_TCP},
    {"udp6", kIpv6, IPPROTO_UDP},
    {"sctp6", kIpv6, IPPROTO_SCTP},
    {"ipv6", kIpv6, -1},
    {"arp", kArp, -1},
});

constexpr auto kMods = std::to_array<ModWord>({
    {"mod_vlan_vid", Field::dl_vlan, Needs::nothing},
    {"mod_vlan_pcp", Field::vlan_pcp, Needs::nothing},
    {"mod_dl_src", Field::dl_src, Needs::nothing},
    {"mod_dl_dst", Field::dl_dst, Needs::nothing},
    {"mod_nw_src", Field::nw_src, Needs::ipv4_or_arp},
    {"mod_nw_dst", Field::nw_dst, Needs::ipv4_or_arp},
    {"mod_nw_tos", Field::nw_tos, Needs::ip},
    {"mod_tp_src", Field::tp_src, Needs::ports},
    {"mod_tp_dst", Field::tp_dst, Needs::ports},
});

constexpr auto kOtherMatchWords = std::to_array<std::string_view>({"priority", "actions", "action"});
constexpr auto kOtherActionWords = std::to_array<std::string_view>(
    {"drop", "normal", "flood", "in_port", "output", "strip_vlan", "pop_vlan", "push_vlan", "dec_ttl", "set_field"});
constexpr auto kOpenflowPorts =
    std::to_array<std::string_view>({"all", "local", "controller", "table", "none", "any", "max", "unset"});

std::string_view wording(Needs needs) {
  switch (needs) {
    case Needs::nothing: return "nothing";
    case Needs::ipv4_or_arp: return "ip or arp";
    case Needs::ipv4: return "ip";
    case Needs::arp: return "arp";
    case Needs::ipv6: return "ipv6";
    case Needs::ip: return "ip or ipv6";
    case Needs::proto: return "ip, ipv6 or arp";
    case Needs::ports: return "tcp, udp or sctp (or tcp6, udp6, sctp6)";
    case Needs::tcp: return "tcp or tcp6";
    case Needs::udp: return "udp or udp6";
    case Needs::sctp: return "sctp or sctp6";
    case Needs::icmp: return "icmp or icmp6";
    case Needs::icmp4: return "icmp";
    case Needs::icmp6: return "icmp6";
  }
  return "";
}

template <typename Table>
auto find(const Table& table, std::string_view name) -> const typename Table::value_type* {
  const auto found = std::ranges::find_if(table, [&](const auto& row) { return row.name == name; });
  return found == table.end() ? nullptr : &*found;
}

bool later_fragment(const flowtable::FlowKey& value, const flowtable::FlowKey& mask) {
  return (value.nw_frag & mask.nw_frag & flowtable::kFragLater) != 0;
}

// And the packet has the protocol's header.
bool exact_protocol(const flowtable::FlowKey& value, const flowtable::FlowKey& mask, std::uint8_t protocol) {
  return !later_fragment(value, mask) && mask.nw_proto == 0xff && value.nw_proto == protocol;
}

}  // namespace

std::span<const FieldWord> field_words() { return kFields; }
std::span<const ProtocolWord> protocol_words() { return kProtocols; }
std::span<const ModWord> mod_words() { return kMods; }

const FieldWord* find_field(std::string_view name) { return find(kFields, name); }
const ProtocolWord* find_protocol(std::string_view name) { return find(kProtocols, name); }
const ModWord* find_mod(std::string_view name) { return find(kMods, name); }

bool satisfied(Needs needs, const flowtable::FlowKey& value, const flowtable::FlowKey& mask) {
  const std::uint16_t type = mask.ethertype_be == 0xffff ? ntohs(value.ethertype_be) : std::uint16_t{0};
  const bool ip = type == kIpv4 || type == kIpv6;
  switch (needs) {
    case Needs::nothing: return true;
    case Needs::ipv4_or_arp: return type == kIpv4 || type == kArp;
    case Needs::ipv4: return type == kIpv4;
    case Needs::arp: return type == kArp;
    case Needs::ipv6: return type == kIpv6;
    case Needs::ip: return ip;
    case Needs::proto: return ip || type == kArp;
    case Needs::ports:
      return satisfied(Needs::tcp, value, mask) || satisfied(Needs::udp, value, mask) ||
             satisfied(Needs::sctp, value, mask);
    case Needs::tcp: return ip && exact_protocol(value, mask, IPPROTO_TCP);
    case Needs::udp: return ip && exact_protocol(value, mask, IPPROTO_UDP);
    case Needs::sctp: return ip && exact_protocol(value, mask, IPPROTO_SCTP);
    case Needs::icmp: return satisfied(Needs::icmp4, value, mask) || satisfied(Needs::icmp6, value, mask);
    case Needs::icmp4: return type == kIpv4 && exact_protocol(value, mask, IPPROTO_ICMP);
    case Needs::icmp6: return type == kIpv6 && exact_protocol(value, mask, IPPROTO_ICMPV6);
  }
  return false;
}

std::string unmet_need(std::string_view what, Needs needs, const flowtable::FlowKey& value,
                       const flowtable::FlowKey& mask) {
  if (satisfied(needs, value, mask)) return {};
  if (needs >= Needs::ports && later_fragment(value, mask)) {
    return fmt::format("{} is of a header that later fragments do not have", what);
  }
  return fmt::format("{} needs {} in the match", what, wording(needs));
}

std::span<const std::string_view> match_words() {
  static const auto words = [] {
    std::vector<std::string_view> all(kOtherMatchWords.begin(), kOtherMatchWords.end());
    for (const auto& row : kFields) all.push_back(row.name);
    for (const auto& row : kProtocols) all.push_back(row.name);
    return all;
  }();
  return words;
}

std::span<const std::string_view> action_words() {
  static const auto words = [] {
    std::vector<std::string_view> all(kOtherActionWords.begin(), kOtherActionWords.end());
    for (const auto& row : kMods) all.push_back(row.name);
    return all;
  }();
  return words;
}

bool is_reserved_word(std::string_view name) {
  const auto same = [&](std::string_view word) { return same_word(name, word); };
  return std::ranges::any_of(match_words(), same) || std::ranges::any_of(action_words(), same) ||
         std::ranges::any_of(kOpenflowPorts, same);
}

bool same_word(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
  return std::ranges::equal(a, b, {}, lower, lower);
}

}  // namespace sluice::control
