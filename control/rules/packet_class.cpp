// packet_class: the facts as a table that is made once.
#include "control/rules/packet_class.hpp"

#include <netinet/in.h>

#include <algorithm>
#include <array>

#include "control/rules/ethertype.hpp"

namespace sluice::control {
namespace {

using flowtable::FlowKey;
using flowtable::PacketClass;

void fix_no_network(ClassFacts& facts) {
  facts.mask.nw_proto = 0xff;
  facts.mask.nw_tos = 0xff;
  facts.mask.nw_src.fill(0xff);
  facts.mask.nw_dst.fill(0xff);
  facts.mask.nw_frag = 0xff;
}

void fix_no_ports(ClassFacts& facts) {
  facts.mask.tp_src_be = 0xffff;
  facts.mask.tp_dst_be = 0xffff;
}

void fix_ethertype(ClassFacts& facts, std::uint16_t ethertype) {
  facts.value.ethertype_be = htons(ethertype);
  facts.mask.ethertype_be = 0xffff;
  if (ethertype == kIpv6) return;
  // IPv4 addresses are in the last four bytes.
  std::fill_n(facts.mask.nw_src.begin(), 12, std::uint8_t{0xff});
  std::fill_n(facts.mask.nw_dst.begin(), 12, std::uint8_t{0xff});
}

void fix_protocol(ClassFacts& facts, std::uint16_t ethertype, std::uint8_t protocol) {
  fix_ethertype(facts, ethertype);
  facts.value.nw_proto = protocol;
  facts.mask.nw_proto = 0xff;
  facts.mask.nw_frag = 0xff & ~flowtable::kFragAny;  // may be a first fragment
}

void fix_later_fragment(ClassFacts& facts, std::uint16_t ethertype) {
  fix_ethertype(facts, ethertype);
  fix_no_ports(facts);
  facts.value.nw_frag = flowtable::kFragAny | flowtable::kFragLater;
  facts.mask.nw_frag = 0xff;
}

void fix_other_protocol(ClassFacts& facts, std::uint16_t ethertype) {
  fix_ethertype(facts, ethertype);
  fix_no_ports(facts);
  facts.mask.nw_frag = 0xff & ~flowtable::kFragAny;
}

ClassFacts facts_of(PacketClass c) {
  ClassFacts facts{};
  facts.value.packet_class = static_cast<std::uint8_t>(c);
  facts.mask.packet_class = 0xff;
  facts.mask.reserved = 0xff;
  switch (c) {
    case PacketClass::other:
      fix_no_network(facts);
      fix_no_ports(facts);
      break;
    case PacketClass::arp:
      fix_ethertype(facts, kArp);
      fix_no_ports(facts);
      facts.mask.nw_tos = 0xff;
      facts.mask.nw_frag = 0xff;
      break;
    case PacketClass::ipv4_other: fix_other_protocol(facts, kIpv4); break;
    case PacketClass::ipv4_tcp: fix_protocol(facts, kIpv4, IPPROTO_TCP); break;
    case PacketClass::ipv4_udp: fix_protocol(facts, kIpv4, IPPROTO_UDP); break;
    case PacketClass::ipv4_sctp: fix_protocol(facts, kIpv4, IPPROTO_SCTP); break;
    case PacketClass::ipv4_icmp: fix_protocol(facts, kIpv4, IPPROTO_ICMP); break;
    case PacketClass::ipv4_fragment: fix_later_fragment(facts, kIpv4); break;
    case PacketClass::ipv6_other: fix_other_protocol(facts, kIpv6); break;
    case PacketClass::ipv6_tcp: fix_protocol(facts, kIpv6, IPPROTO_TCP); break;
    case PacketClass::ipv6_udp: fix_protocol(facts, kIpv6, IPPROTO_UDP); break;
    case PacketClass::ipv6_sctp: fix_protocol(facts, kIpv6, IPPROTO_SCTP); break;
    case PacketClass::ipv6_icmp: fix_protocol(facts, kIpv6, IPPROTO_ICMPV6); break;
    case PacketClass::ipv6_fragment: fix_later_fragment(facts, kIpv6); break;
  }
  return facts;
}

PacketClass class_of_ipv4(std::uint8_t protocol) {
  switch (protocol) {
    case IPPROTO_TCP: return PacketClass::ipv4_tcp;
    case IPPROTO_UDP: return PacketClass::ipv4_udp;
    case IPPROTO_SCTP: return PacketClass::ipv4_sctp;
    case IPPROTO_ICMP: return PacketClass::ipv4_icmp;
  }
  return PacketClass::ipv4_other;
}

PacketClass class_of_ipv6(std::uint8_t protocol) {
  switch (protocol) {
    case IPPROTO_TCP: return PacketClass::ipv6_tcp;
    case IPPROTO_UDP: return PacketClass::ipv6_udp;
    case IPPROTO_SCTP: return PacketClass::ipv6_sctp;
    case IPPROTO_ICMPV6: return PacketClass::ipv6_icmp;
  }
  return PacketClass::ipv6_other;
}

}  // namespace

const ClassFacts& class_facts(PacketClass c) {
  static const auto facts = [] {
    std::array<ClassFacts, flowtable::kPacketClasses> all{};
    for (std::size_t i = 0; i < all.size(); ++i) all[i] = facts_of(static_cast<PacketClass>(i));
    return all;
  }();
  return facts[static_cast<std::size_t>(c)];
}

PacketClass class_of(const FlowKey& key) {
  const bool later = (key.nw_frag & flowtable::kFragLater) != 0;
  switch (ntohs(key.ethertype_be)) {
    case kArp: return PacketClass::arp;
    case kIpv4: return later ? PacketClass::ipv4_fragment : class_of_ipv4(key.nw_proto);
    case kIpv6: return later ? PacketClass::ipv6_fragment : class_of_ipv6(key.nw_proto);
  }
  return PacketClass::other;
}

}  // namespace sluice::control
