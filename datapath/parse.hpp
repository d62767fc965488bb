// parse: a frame's first bytes to a FlowKey. Total, pure and bounds-checked: any bytes in, a key and a class out, or
// the name of the reason why the frame cannot be switched. Runs in the PMD, on private bytes.
#pragma once

#include <cstdint>
#include <optional>

#include "flowtable/flow_key.hpp"
#include "ports/drop_reason.hpp"
#include "ports/frame.hpp"

namespace sluice::datapath {

/// Reads the head of `frame` and fills `key` (all fields but mask_generation, which is left 0) and the frame's
/// l3_offset (ARP, IP; else 0) and l4_offset (TCP, UDP, SCTP, ICMP classes; else 0).
///
/// What is looked at are the first kHeadSize bytes, fewer if the head is shorter: a frame is keyed alike whatever port
/// it came through.
///
/// A header that is cut off, or that lies about its length, is keyed by what is there in front of it:
///   - fewer than 14 bytes: DropReason::rx_runt
///   - a tag that is cut off (its TCI and the ethertype behind it): the tag counts as the ethertype (0x8100 / 0x88a8),
///     class `other`
///   - IPv4 with version != 4, IHL < 5, a total length shorter than the header or longer than the frame, IPv6
///     likewise, ARP that is cut off: class `other` with the ethertype
///   - L4 header cut off by the frame's or the IP length's end: class ipvX_other, with nw_proto, without ports. What is
///     needed is the whole header without options: TCP 20 bytes, UDP 8, SCTP 12, ICMP and ICMPv6 4. So whoever holds a
///     key of such a class may rewrite that header without looking again.
///   - the same in a first fragment: DropReason::rx_headers_too_long, since its header goes on in the next fragment and
///     rules on it could be evaded by cutting it in two (RFC 1858, RFC 7112)
///   - headers that go on beyond the bytes that are looked at while the packet does too (long chains of IPv6 extension
///     headers): DropReason::rx_headers_too_long, since rules on what is behind could otherwise be evaded
/// Bytes behind the end that the IP length gives are padding and never read as headers. In a frame that asks for
/// segmentation an IP length of 0 means "to the end of the frame": some guests leave it to be filled in.
///
/// Up to two VLAN tags are read; a third one is an ethertype. A type below 0x0600 is a length (IEEE 802.3) and is keyed
/// as 0x05ff, whatever LLC or SNAP header follows. ARP is Ethernet/IPv4 ARP; other ARP has an operation but no
/// addresses. nw_proto of IPv6 is the first header that is not walked. IPv6 extension headers that are walked:
/// hop-by-hop, routing, destination options, fragment, AH, mobility; one that is cut off is itself the nw_proto. A
/// fragment header with neither offset nor more fragments (RFC 6946) is walked and makes no fragment. Later fragments
/// have the nw_proto of their fragment header.
[[nodiscard]] std::optional<ports::DropReason> parse(ports::Frame& frame, flowtable::PortId in_port,
                                                     flowtable::FlowKey& key);

/// The same, for a frame that parse_plain() has refused. Others too, but slower.
[[nodiscard]] std::optional<ports::DropReason> parse_any(ports::Frame& frame, flowtable::PortId in_port,
                                                         flowtable::FlowKey& key);

}  // namespace sluice::datapath
