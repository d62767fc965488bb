#include "tests/unit/law/frame_of.hpp"

#include <netinet/in.h>

#include <algorithm>
#include <span>

#include "datapath/checksum.hpp"

namespace sluice::test {
namespace {

using control::testing::below;
using control::testing::one_in;
using control::testing::Random;
using flowtable::FlowKey;
using flowtable::PacketClass;

std::uint8_t low(unsigned value) { return static_cast<std::uint8_t>(value & 0xffU); }

void put16(Bytes& bytes, unsigned value) { bytes.insert(bytes.end(), {low(value >> 8U), low(value)}); }
void put_be(Bytes& bytes, std::uint16_t value_be) { put16(bytes, ntohs(value_be)); }
void put(Bytes& to, std::span<const std::uint8_t> bytes) { to.insert(to.end(), bytes.begin(), bytes.end()); }

bool has_l4(PacketClass c) {
  switch (c) {
    case PacketClass::ipv4_tcp:
    case PacketClass::ipv6_tcp:
    case PacketClass::ipv4_udp:
    case PacketClass::ipv6_udp:
    case PacketClass::ipv4_sctp:
    case PacketClass::ipv6_sctp:
    case PacketClass::ipv4_icmp:
    case PacketClass::ipv6_icmp: return true;
    case PacketClass::other:
    case PacketClass::arp:
    case PacketClass::ipv4_other:
    case PacketClass::ipv4_fragment:
    case PacketClass::ipv6_other:
    case PacketClass::ipv6_fragment: return false;
  }
  return false;
}

Bytes l4_of(const FlowKey& key, std::size_t payload) {
  Bytes l4;
  if (key.nw_proto == IPPROTO_ICMP || key.nw_proto == IPPROTO_ICMPV6) {
    l4 = {low(ntohs(key.tp_src_be)), low(ntohs(key.tp_dst_be)), 0x12, 0x34};
    return l4;
  }
  put_be(l4, key.tp_src_be);
  put_be(l4, key.tp_dst_be);
  if (key.nw_proto == IPPROTO_TCP) {
    put(l4, Bytes{0, 0, 0, 1, 0, 0, 0, 2, 0x50, 0x10, 0x20, 0, 0x56, 0x78, 0, 0});
  } else if (key.nw_proto == IPPROTO_UDP) {
    put16(l4, static_cast<unsigned>(8 + payload));
    put16(l4, 0x9abc);
  } else {
    put(l4, Bytes{0, 0, 0, 7, 1, 2, 3, 4});
  }
  return l4;
}

void put_ipv4(Bytes& frame, const FlowKey& key, std::size_t size) {
  const std::size_t at = frame.size();
  frame.push_back(0x45);
  frame.push_back(key.nw_tos);
  put16(frame, static_cast<unsigned>(20 + size));
  put16(frame, 0x4321);
  const bool later = (key.nw_frag & flowtable::kFragLater) != 0;
  put16(frame, key.nw_frag == 0 ? 0x4000U : later ? 0x0010U : 0x2000U);
  frame.insert(frame.end(), {64, key.nw_proto, 0, 0});
  put(frame, std::span(key.nw_src).subspan(12));
  put(frame, std::span(key.nw_dst).subspan(12));
  datapath::write_ipv4_checksum(frame.data() + at, 20);
}

void put_ipv6(Bytes& frame, const FlowKey& key, std::size_t size) {
  constexpr std::uint8_t kFragmentHeader = 44;
  const bool fragment = key.nw_frag != 0;
  frame.push_back(low(0x60U | key.nw_tos >> 4U));
  frame.push_back(low(static_cast<unsigned>(key.nw_tos) << 4U));
  put16(frame, 0);
  put16(frame, static_cast<unsigned>(size + (fragment ? 8 : 0)));
  frame.insert(frame.end(), {fragment ? kFragmentHeader : key.nw_proto, 64});
  put(frame, key.nw_src);
  put(frame, key.nw_dst);
  if (!fragment) return;
  const bool later = (key.nw_frag & flowtable::kFragLater) != 0;
  frame.insert(frame.end(), {key.nw_proto, 0, low(later ? 0x01 : 0), low(later ? 0x00 : 1), 0, 0, 0, 9});
}

void put_arp(Bytes& frame, const FlowKey& key) {
  put(frame, Bytes{0, 1, 8, 0, 6, 4, 0, key.nw_proto});
  put(frame, key.dl_src.bytes);
  put(frame, std::span(key.nw_src).subspan(12));
  put(frame, Bytes(6, 0));
  put(frame, std::span(key.nw_dst).subspan(12));
}

void put_tag(Bytes& frame, flowtable::TagKind kind, std::uint16_t tci_be) {
  if (kind == flowtable::TagKind::none) return;
  put16(frame, kind == flowtable::TagKind::dot1q ? 0x8100 : 0x88a8);
  put_be(frame, tci_be);
}

}  // namespace

FlowKey random_packet_key(Random& random, flowtable::PortId in_port) {
  const PacketClass c = control::testing::random_class(random);
  FlowKey key = control::testing::random_key(random, c, in_port);
  if (key.tag_kinds != 0 && one_in(random, 3)) {
    key.tag_kinds = low(key.tag_kinds | (one_in(random, 2) ? 0x10U : 0x30U));
    key.inner_tci_be = htons(static_cast<std::uint16_t>(below(random, 8) << 13U | below(random, 4)));
  }
  // Zeros behind its ethertype are an ARP packet, of another kind.
  if (c == PacketClass::other && ntohs(key.ethertype_be) == 0x0806) key.ethertype_be = htons(0x88cc);
  const bool other_protocol = c == PacketClass::ipv4_other || c == PacketClass::ipv6_other;
  const bool cut_off = key.nw_proto != 47 && key.nw_proto != 2;
  // The first fragment of a packet whose header goes on in the next is not switched at all.
  if (other_protocol && cut_off) key.nw_frag = 0;
  return key;
}

Bytes frame_of(const FlowKey& key, std::size_t payload) {
  const auto c = static_cast<PacketClass>(key.packet_class);
  Bytes frame;
  put(frame, key.dl_dst.bytes);
  put(frame, key.dl_src.bytes);
  put_tag(frame, key.outer_tag(), key.outer_tci_be);
  put_tag(frame, key.inner_tag(), key.inner_tci_be);
  const unsigned type = ntohs(key.ethertype_be);
  put16(frame, type == 0x05ff ? static_cast<unsigned>(payload) : type);
  if (c == PacketClass::arp) {
    put_arp(frame, key);
  } else if (c != PacketClass::other) {  // of which zeros are no IP header
    const bool whole = has_l4(c) || c == PacketClass::ipv4_fragment || c == PacketClass::ipv6_fragment ||
                       key.nw_proto == 47 || key.nw_proto == 2;
    const Bytes l4 = has_l4(c) ? l4_of(key, payload) : Bytes();
    const std::size_t size = whole ? l4.size() + payload : 2;
    c >= PacketClass::ipv6_other ? put_ipv6(frame, key, size) : put_ipv4(frame, key, size);
    put(frame, l4);
  }
  frame.resize(frame.size() + payload);
  return frame;
}

}  // namespace sluice::test
