// parse: from bytes to a FlowKey. Total, pure and bounds-checked: any bytes in, a key and a class out, or the name of
// the reason why the frame cannot be switched.
#pragma once

#include <cstdint>
#include <optional>

#include "flowtable/flow_key.hpp"
#include "ports/drop_reason.hpp"
#include "ports/frame.hpp"

namespace sluice::datapath {

/// Reads the head of `frame` and fills `key` (all fields but mask_generation, which is left 0) and the frame's
/// l3_offset and l4_offset.
///
/// A header that is cut off, or that lies about its length, is keyed by what is there in front of it:
///   - fewer than 14 bytes: DropReason::rx_runt
///   - a tag that is cut off: the tag counts as the ethertype (0x8100 / 0x88a8), class `other`
///   - IPv4 with version != 4, IHL < 5, a total length shorter than the header or longer than the frame, IPv6
///     likewise: class `other` with the ethertype
///   - L4 header cut off: class ipvX_other, with nw_proto, without ports
///   - headers that go on beyond the frame's head (long chains of IPv6 extension headers) while the frame does too:
///     DropReason::rx_headers_too_long, since rules on what is behind could otherwise be evaded
/// Up to two VLAN tags are read; a third one is an ethertype. ARP is Ethernet/IPv4 ARP; other ARP has no addresses.
/// IPv6 extension headers that are walked: hop-by-hop, routing, destination options, fragment, AH, mobility.
[[nodiscard]] std::optional<ports::DropReason> parse(ports::Frame& frame, flowtable::PortId in_port,
                                                     flowtable::FlowKey& key);

}  // namespace sluice::datapath
