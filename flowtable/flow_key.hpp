// FlowKey: what a packet is to the flow table. One cache line, no padding, so that keys can be compared, masked
// and hashed as 64 plain bytes. Written by datapath/parse, read by everybody.
#pragma once

#include <array>
#include <bit>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

namespace sluice::flowtable {

/// A port's index in the switch, 0 to kMaxPorts - 1. Never reused while a flow still names it.
using PortId = std::uint16_t;
inline constexpr PortId kMaxPorts = 1024;
inline constexpr PortId kNoPort = 0xffff;

/// An Ethernet address in wire order (IEEE 802).
struct MacAddress {
  std::array<std::uint8_t, 6> bytes;

  constexpr auto operator<=>(const MacAddress&) const = default;
  /// True for group addresses, broadcast included (the I/G bit).
  [[nodiscard]] constexpr bool is_multicast() const { return (bytes[0] & 1U) != 0; }
};

/// What kind of packet a key describes. Together with the in-port it selects the mask that is applied before the
/// lookup, and it is always part of the key, so flows of different classes never meet.
enum class PacketClass : std::uint8_t {
  other,  ///< no IP and no ARP, or a header that is cut off: known by its ethertype alone
  arp,
  ipv4_other,  ///< IPv4 with any other protocol (IGMP, GRE, ...), or an L4 header that is cut off
  ipv4_tcp,
  ipv4_udp,
  ipv4_sctp,
  ipv4_icmp,
  ipv4_fragment,  ///< a fragment that is not the first: it has no L4 header
  ipv6_other,
  ipv6_tcp,
  ipv6_udp,
  ipv6_sctp,
  ipv6_icmp,
  ipv6_fragment,
};
inline constexpr std::size_t kPacketClasses = 14;

/// The kind of a VLAN tag, by its TPID. The lowest bit says that there is a tag, so that a mask can ask for just that.
enum class TagKind : std::uint8_t {
  none = 0,
  dot1q = 1,   ///< 0x8100, a C-tag
  dot1ad = 3,  ///< 0x88a8, an S-tag
};

/// FlowKey::nw_frag, OVS's encoding.
inline constexpr std::uint8_t kFragAny = 1;    ///< the packet is a fragment
inline constexpr std::uint8_t kFragLater = 2;  ///< and not the first one

/// Fields that a packet does not have are zero. Fields that end in _be are in network byte order.
struct FlowKey {
  PortId in_port;
  std::uint8_t packet_class;   ///< a PacketClass; a plain integer so that masks can be keys as well
  std::uint8_t tag_kinds;      ///< low nibble: TagKind of the outer tag; high nibble: of the inner tag
  std::uint16_t outer_tci_be;  ///< PCP, DEI, VID of the outer tag
  std::uint16_t inner_tci_be;
  MacAddress dl_dst;
  MacAddress dl_src;
  std::uint16_t ethertype_be;  ///< behind the tags; 0x05ff for an IEEE 802.3 frame with a length (as OVS has it)
  std::uint8_t nw_proto;       ///< IPv4 protocol, IPv6 upper-layer header, or the low byte of the ARP operation
  std::uint8_t nw_tos;         ///< DSCP and ECN (IPv6: traffic class)
  std::array<std::uint8_t, 16> nw_src;  ///< IPv6; IPv4 and ARP in the last four bytes, the others zero
  std::array<std::uint8_t, 16> nw_dst;
  std::uint16_t tp_src_be;        ///< L4 source port, or the ICMP type
  std::uint16_t tp_dst_be;        ///< L4 destination port, or the ICMP code
  std::uint8_t nw_frag;           ///< kFragAny | kFragLater
  std::uint8_t reserved;          ///< zero
  std::uint16_t mask_generation;  ///< which mask of its (port, class) the key was masked with; see ClassMask

  friend bool operator==(const FlowKey& a, const FlowKey& b) { return std::memcmp(&a, &b, sizeof a) == 0; }

  [[nodiscard]] TagKind outer_tag() const { return static_cast<TagKind>(tag_kinds & 0x0fU); }
  [[nodiscard]] TagKind inner_tag() const { return static_cast<TagKind>(tag_kinds >> 4U); }
};
static_assert(sizeof(FlowKey) == 64);
static_assert(std::is_trivially_copyable_v<FlowKey>);
static_assert(std::has_unique_object_representations_v<FlowKey>, "padding would be hashed");
static_assert(offsetof(FlowKey, dl_dst) == 8 && offsetof(FlowKey, nw_src) == 24 && offsetof(FlowKey, tp_src_be) == 56);

/// key AND mask, bit by bit.
[[nodiscard]] constexpr FlowKey masked(const FlowKey& key, const FlowKey& mask) {
  auto k = std::bit_cast<std::array<std::uint64_t, 8>>(key);
  const auto m = std::bit_cast<std::array<std::uint64_t, 8>>(mask);
  for (std::size_t i = 0; i < k.size(); ++i) k[i] &= m[i];
  return std::bit_cast<FlowKey>(k);
}

/// a OR b, bit by bit: the union of two masks.
[[nodiscard]] constexpr FlowKey merged(const FlowKey& a, const FlowKey& b) {
  auto x = std::bit_cast<std::array<std::uint64_t, 8>>(a);
  const auto y = std::bit_cast<std::array<std::uint64_t, 8>>(b);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] |= y[i];
  return std::bit_cast<FlowKey>(x);
}

/// The mask of one (port, packet class): the union of the fields that the port's settings and the rules could
/// consult for such packets. in_port, packet_class and mask_generation are always all ones.
///
/// `generation` changes whenever the mask does and becomes part of every key masked with it: flows that were
/// installed under an older mask are out of reach from the first packet on, instead of being mistaken for new ones.
struct ClassMask {
  FlowKey mask;
  std::uint16_t generation;
};

}  // namespace sluice::flowtable
