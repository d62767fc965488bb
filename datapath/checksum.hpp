// The Internet checksum (RFC 1071), kept right incrementally (RFC 1624), and the CRC32c of SCTP (RFC 9260, app. A).
//
// Sums are over 16-bit words as they lie in memory: the Internet checksum comes out in wire order on any machine.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>

#include "ports/frame.hpp"

namespace sluice::datapath {

/// One's complement sum of `bytes`, not folded, not complemented. An odd last byte counts as if followed by a zero.
[[nodiscard]] std::uint64_t ones_sum(std::span<const std::uint8_t> bytes);

/// To 16 bits, carries added back in.
[[nodiscard]] constexpr std::uint16_t fold(std::uint64_t sum) {
  sum = (sum & 0xffffffff) + (sum >> 32U);
  sum = (sum & 0xffff) + (sum >> 16U);
  sum = (sum & 0xffff) + (sum >> 16U);
  sum = (sum & 0xffff) + (sum >> 16U);
  return static_cast<std::uint16_t>(sum);
}

/// What a change of bytes does to a sum they are part of: the new ones less the old ones, as something to add. Both
/// of the same even size, and at an even distance from where the sum starts.
[[nodiscard]] std::uint64_t ones_delta(std::span<const std::uint8_t> before, std::span<const std::uint8_t> after);

/// Adds `delta` to what the checksum at `field` covers (RFC 1624, eqn. 3).
void update_checksum(std::uint8_t* field, std::uint64_t delta);
/// The same for a field that holds a sum that is still to be completed: not complemented yet.
void update_partial_sum(std::uint8_t* field, std::uint64_t delta);

/// Sum of the IPv4 or IPv6 pseudo header (RFC 9293, 3.1; RFC 8200, 8.1). `addresses`: source and destination as they
/// lie in the header, 8 or 32 bytes.
[[nodiscard]] std::uint64_t pseudo_header_sum(std::span<const std::uint8_t> addresses, std::uint8_t protocol,
                                              std::uint32_t length);

/// Writes the checksum of the IPv4 header at `header`, `size` bytes.
void write_ipv4_checksum(std::uint8_t* header, std::uint32_t size);

/// Completes the checksum a frame asks for (virtio 1.2, 5.1.6.2), over its head and its rest, and clears the request.
/// False, and nothing done, if the field is not whole in the head or csum_start is beyond the frame.
[[nodiscard]] bool complete_checksum(ports::Frame& frame);

/// By what the CRC32c of a message changes when the four bytes that start `length` bytes before its end change by
/// `xored` (as they lie in memory): CRC is linear, so nothing but the change itself has to be looked at. For the
/// bytes of SCTP's checksum field as they lie in memory.
[[nodiscard]] std::uint32_t crc32c_delta(std::uint32_t xored, std::uint32_t length);

}  // namespace sluice::datapath
