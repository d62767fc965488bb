// Ethernet (IEEE 802.3), VLAN tags (IEEE 802.1Q), ARP (RFC 826), IPv4 (RFC 791), IPv6 (RFC 8200), and the first words
// of TCP, UDP, SCTP, ICMP and ICMPv6, of any frame: most go by parse_plain.hpp and never come here.
#include "datapath/parse.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "datapath/parse_plain.hpp"
#include "datapath/wire.hpp"

namespace sluice::datapath {
namespace {

using flowtable::FlowKey;
using flowtable::kFragAny;
using flowtable::kFragLater;
using flowtable::PacketClass;
using flowtable::TagKind;
using ports::DropReason;
using ports::Frame;
using Dropped = std::optional<DropReason>;

constexpr std::uint16_t kIpv4 = be(0x0800);
constexpr std::uint16_t kArp = be(0x0806);
constexpr std::uint16_t kDot1q = be(0x8100);
constexpr std::uint16_t kIpv6 = be(0x86dd);
constexpr std::uint16_t kDot1ad = be(0x88a8);
constexpr std::uint16_t kLength = be(0x05ff);

constexpr std::uint32_t kEthernetSize = 14;
constexpr std::uint32_t kTagSize = 4;
constexpr std::uint32_t kArpFixedSize = 8;
constexpr std::uint32_t kArpSize = 28;
constexpr std::uint32_t kIpv4Size = 20;
constexpr std::uint32_t kIpv6Size = 40;

// IPv6 extension headers (RFC 8200, RFC 4302, RFC 6275), by their protocol number.
constexpr std::uint8_t kHopByHop = 0;
constexpr std::uint8_t kRouting = 43;
constexpr std::uint8_t kFragment = 44;
constexpr std::uint8_t kAuthentication = 51;
constexpr std::uint8_t kDestinationOptions = 60;
constexpr std::uint8_t kMobility = 135;

/// What an IP protocol is to a key.
struct L4 {
  PacketClass ipv4 = PacketClass::ipv4_other;
  PacketClass ipv6 = PacketClass::ipv6_other;
  std::uint8_t size = 0;   ///< of the header without options; 0: its header is not read
  bool icmp = false;       ///< type and code in place of ports
  bool extension = false;  ///< an IPv6 extension header that is walked
};

constexpr std::array<L4, 256> kProtocols = [] {
  std::array<L4, 256> table{};
  table[1] = {PacketClass::ipv4_icmp, PacketClass::ipv6_other, 4, true};
  table[6] = {PacketClass::ipv4_tcp, PacketClass::ipv6_tcp, 20};
  table[17] = {PacketClass::ipv4_udp, PacketClass::ipv6_udp, 8};
  table[58] = {PacketClass::ipv4_other, PacketClass::ipv6_icmp, 4, true};
  table[132] = {PacketClass::ipv4_sctp, PacketClass::ipv6_sctp, 12};
  for (const auto header : {kHopByHop, kRouting, kFragment, kAuthentication, kDestinationOptions, kMobility}) {
    table[header].extension = true;
  }
  return table;
}();

void set_class(FlowKey& key, PacketClass value) { key.packet_class = static_cast<std::uint8_t>(value); }

/// Where the bytes of a frame end: those that are there, and those that may be looked at.
struct Bounds {
  std::uint32_t visible;  ///< private and looked at
  std::uint32_t end;      ///< of the frame, and once it is known of the IP packet; may be more than visible

  [[nodiscard]] bool cut_off(std::uint32_t offset, std::uint32_t size) const { return offset + size > end; }
  [[nodiscard]] bool hidden(std::uint32_t offset, std::uint32_t size) const { return offset + size > visible; }
};

/// Where an IP packet of `length` bytes from `offset` on ends, or 0 if the frame is shorter than that.
std::uint32_t packet_end(const Frame& frame, std::uint32_t offset, std::uint32_t length, bool unknown) {
  if (unknown && frame.offload.gso_type != ports::Offload::kGsoNone) return frame.size;
  return offset + length <= frame.size ? offset + length : 0;
}

/// The ports, if the packet is of a protocol that has them. key.nw_proto and nw_frag are set, the class is `other`'s.
Dropped parse_l4(Frame& frame, std::uint32_t offset, const Bounds& bounds, const L4& l4, PacketClass packet_class,
                 FlowKey& key) {
  if (bounds.cut_off(offset, l4.size)) [[unlikely]] {
    if (key.nw_frag != 0) return DropReason::rx_headers_too_long;
    return {};
  }
  if (bounds.hidden(offset, l4.size)) [[unlikely]]
    return DropReason::rx_headers_too_long;
  const std::uint8_t* header = frame.head + offset;
  if (l4.icmp) {
    key.tp_src_be = be(header[0]);
    key.tp_dst_be = be(header[1]);
  } else {
    key.tp_src_be = load_be16(header);
    key.tp_dst_be = load_be16(header + 2);
  }
  set_class(key, packet_class);
  frame.l4_offset = static_cast<std::uint16_t>(offset);
  return {};
}

Dropped parse_ipv4(Frame& frame, std::uint32_t offset, Bounds bounds, FlowKey& key) {
  if (bounds.cut_off(offset, kIpv4Size)) [[unlikely]]
    return {};
  if (bounds.hidden(offset, kIpv4Size)) [[unlikely]]
    return DropReason::rx_headers_too_long;
  const std::uint8_t* header = frame.head + offset;
  const std::uint32_t header_size = (header[0] & 0x0fU) * 4U;
  const std::uint32_t total = read_be16(header + 2);
  bounds.end = packet_end(frame, offset, total, total == 0);
  const bool lies = (header[0] >> 4U) != 4 || header_size < kIpv4Size || bounds.cut_off(offset, header_size);
  if (lies) [[unlikely]]
    return {};

  frame.l3_offset = static_cast<std::uint16_t>(offset);
  key.nw_tos = header[1];
  key.nw_proto = header[9];
  std::memcpy(key.nw_src.data() + 12, header + 12, 4);
  std::memcpy(key.nw_dst.data() + 12, header + 16, 4);
  const std::uint16_t fragment = read_be16(header + 6);
  if ((fragment & 0x3fffU) != 0) [[unlikely]] {
    key.nw_frag = kFragAny;
    if ((fragment & 0x1fffU) != 0) {
      key.nw_frag = kFragAny | kFragLater;
      set_class(key, PacketClass::ipv4_fragment);
      return {};
    }
  }
  set_class(key, PacketClass::ipv4_other);
  const L4& l4 = kProtocols[key.nw_proto];
  if (l4.ipv4 == PacketClass::ipv4_other) return {};
  return parse_l4(frame, offset + header_size, bounds, l4, l4.ipv4, key);
}

/// Walks the extension headers from `offset` on, which is moved to behind them. Leaves nw_proto at what is there, and
/// says in `walked` whether that was reached: not if a header on the way is cut off.
Dropped walk_extensions(const Frame& frame, const Bounds& bounds, std::uint32_t& offset, bool& walked, FlowKey& key) {
  constexpr std::uint32_t kLeast = 8;  // no extension header is shorter
  while (kProtocols[key.nw_proto].extension) {
    if (bounds.cut_off(offset, kLeast)) {
      walked = false;
      if (key.nw_frag != 0) return DropReason::rx_headers_too_long;
      return {};
    }
    if (bounds.hidden(offset, kLeast)) return DropReason::rx_headers_too_long;
    const std::uint8_t* header = frame.head + offset;
    std::uint32_t size = kLeast;
    if (key.nw_proto == kFragment) {
      const std::uint16_t fragment = read_be16(header + 2);
      if ((fragment & 0xfff9U) != 0) key.nw_frag = kFragAny;
      if ((fragment & 0xfff8U) != 0) key.nw_frag = kFragAny | kFragLater;
    } else if (key.nw_proto == kAuthentication) {
      size = (header[1] + 2U) * 4U;  // RFC 4302, 2.2
    } else {
      size = (header[1] + 1U) * 8U;
    }
    if (bounds.cut_off(offset, size)) {
      walked = false;
      if (key.nw_frag != 0) return DropReason::rx_headers_too_long;
      return {};
    }
    key.nw_proto = header[0];
    offset += size;
    if ((key.nw_frag & kFragLater) != 0) return {};
  }
  return {};
}

Dropped parse_ipv6(Frame& frame, std::uint32_t offset, Bounds bounds, FlowKey& key) {
  if (bounds.cut_off(offset, kIpv6Size)) [[unlikely]]
    return {};
  if (bounds.hidden(offset, kIpv6Size)) [[unlikely]]
    return DropReason::rx_headers_too_long;
  const std::uint8_t* header = frame.head + offset;
  const std::uint32_t payload = read_be16(header + 4);
  bounds.end = packet_end(frame, offset, kIpv6Size + payload, payload == 0);
  const bool lies = (header[0] >> 4U) != 6 || bounds.end == 0;
  if (lies) [[unlikely]]
    return {};

  frame.l3_offset = static_cast<std::uint16_t>(offset);
  key.nw_tos = static_cast<std::uint8_t>(read_be16(header) >> 4U);
  key.nw_proto = header[6];
  std::memcpy(key.nw_src.data(), header + 8, 16);
  std::memcpy(key.nw_dst.data(), header + 24, 16);
  set_class(key, PacketClass::ipv6_other);
  std::uint32_t l4_offset = offset + kIpv6Size;
  if (kProtocols[key.nw_proto].extension) [[unlikely]] {
    bool walked = true;
    if (const Dropped dropped = walk_extensions(frame, bounds, l4_offset, walked, key)) return dropped;
    if ((key.nw_frag & kFragLater) != 0) set_class(key, PacketClass::ipv6_fragment);
    if (!walked || (key.nw_frag & kFragLater) != 0) return {};
  }
  const L4& l4 = kProtocols[key.nw_proto];
  if (l4.ipv6 == PacketClass::ipv6_other) return {};
  return parse_l4(frame, l4_offset, bounds, l4, l4.ipv6, key);
}

Dropped parse_arp(Frame& frame, std::uint32_t offset, const Bounds& bounds, FlowKey& key) {
  constexpr std::array<std::uint8_t, 6> kEthernetIpv4{0, 1, 8, 0, 6, 4};  // hardware, protocol, their address sizes
  if (bounds.cut_off(offset, kArpFixedSize)) return {};
  if (bounds.hidden(offset, kArpFixedSize)) return DropReason::rx_headers_too_long;
  const std::uint8_t* header = frame.head + offset;
  if (std::memcmp(header, kEthernetIpv4.data(), kEthernetIpv4.size()) == 0) {
    if (bounds.cut_off(offset, kArpSize)) return {};
    if (bounds.hidden(offset, kArpSize)) return DropReason::rx_headers_too_long;
    std::memcpy(key.nw_src.data() + 12, header + 14, 4);
    std::memcpy(key.nw_dst.data() + 12, header + 24, 4);
  }
  key.nw_proto = header[7];
  set_class(key, PacketClass::arp);
  frame.l3_offset = static_cast<std::uint16_t>(offset);
  return {};
}

TagKind tag_kind(std::uint16_t ethertype_be) {
  if (ethertype_be == kDot1q) return TagKind::dot1q;
  return ethertype_be == kDot1ad ? TagKind::dot1ad : TagKind::none;
}

/// Reads up to two tags. `offset` is that of the bytes behind the ethertype, in front of the tags and then behind them.
Dropped parse_tags(const Frame& frame, std::uint32_t& offset, const Bounds& bounds, FlowKey& key) {
  for (unsigned n = 0; n < 2; ++n) {
    const TagKind kind = tag_kind(key.ethertype_be);
    if (kind == TagKind::none || bounds.cut_off(offset, kTagSize)) return {};
    if (bounds.hidden(offset, kTagSize)) return DropReason::rx_headers_too_long;
    (n == 0 ? key.outer_tci_be : key.inner_tci_be) = load_be16(frame.head + offset);
    key.tag_kinds = static_cast<std::uint8_t>(key.tag_kinds | (static_cast<unsigned>(kind) << (4 * n)));
    key.ethertype_be = load_be16(frame.head + offset + 2);
    offset += kTagSize;
  }
  return {};
}

}  // namespace

Dropped parse(Frame& frame, flowtable::PortId in_port, FlowKey& key) {
  return parse_plain(frame, in_port, key) ? std::nullopt : parse_any(frame, in_port, key);
}

Dropped parse_any(Frame& frame, flowtable::PortId in_port, FlowKey& key) {
  key = FlowKey{};
  key.in_port = in_port;
  frame.l3_offset = 0;
  frame.l4_offset = 0;
  const Bounds bounds{std::min(frame.head_size, ports::kHeadSize), frame.size};
  if (bounds.cut_off(0, kEthernetSize)) [[unlikely]]
    return DropReason::rx_runt;
  if (bounds.hidden(0, kEthernetSize)) [[unlikely]]
    return DropReason::rx_headers_too_long;
  std::memcpy(&key.dl_dst, frame.head, 6);
  std::memcpy(&key.dl_src, frame.head + 6, 6);
  key.ethertype_be = load_be16(frame.head + 12);

  std::uint32_t offset = kEthernetSize;
  if (tag_kind(key.ethertype_be) != TagKind::none) [[unlikely]] {
    if (const Dropped dropped = parse_tags(frame, offset, bounds, key)) return dropped;
  }
  if (key.ethertype_be == kIpv4) return parse_ipv4(frame, offset, bounds, key);
  if (key.ethertype_be == kIpv6) return parse_ipv6(frame, offset, bounds, key);
  if (key.ethertype_be == kArp) return parse_arp(frame, offset, bounds, key);
  if (be(key.ethertype_be) < 0x0600) key.ethertype_be = kLength;
  return {};
}

}  // namespace sluice::datapath
