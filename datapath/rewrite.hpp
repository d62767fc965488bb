// rewrite: one function for each field that an action changes. Each keeps the checksums that cover the field right
// and does nothing if the frame has no such field. The frame's head must be writable.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "ports/frame.hpp"

namespace sluice::datapath {

/// Where an address or port is: in its header's source or its destination field.
enum class Side : std::uint8_t { source, destination };

/// Needs four bytes in front of the head. `tpid` in wire order.
void push_vlan(ports::Frame& frame, std::array<std::uint8_t, 2> tpid, std::uint16_t tci);
/// False if there is no tag.
bool pop_vlan(ports::Frame& frame);
[[nodiscard]] bool has_vlan(const ports::Frame& frame);
/// Changes the bits of the outer tag's TCI that are in `mask`. To be called if has_vlan().
void set_vlan_bits(ports::Frame& frame, std::uint16_t bits, std::uint16_t mask);

void set_dl_address(ports::Frame& frame, Side side, std::span<const std::uint8_t, 6> address);
/// IPv4, and the protocol addresses of ARP.
void set_ipv4_address(ports::Frame& frame, Side side, std::span<const std::uint8_t, 4> address);
void set_ipv6_address(ports::Frame& frame, Side side, std::span<const std::uint8_t, 16> address);
/// `tos`: DSCP in the upper six bits; the two of ECN are the frame's.
void set_dscp(ports::Frame& frame, std::uint8_t tos);
/// TCP, UDP and SCTP ports; ICMP and ICMPv6: type (source) and code (destination).
///
/// A fragment of an SCTP packet is left as it is: its CRC depends on the length of the whole.
void set_transport(ports::Frame& frame, Side side, std::uint16_t value);
/// False if the TTL or hop limit is used up; nothing is changed then.
[[nodiscard]] bool decrement_ttl(ports::Frame& frame);

}  // namespace sluice::datapath
