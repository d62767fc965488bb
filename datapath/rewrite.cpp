#include "datapath/rewrite.hpp"

#include <algorithm>
#include <cstring>

#include "datapath/checksum.hpp"
#include "datapath/headers.hpp"
#include "datapath/wire.hpp"

namespace sluice::datapath {

namespace {

using Network = Headers::Network;

constexpr std::uint32_t kMacs = 12;
constexpr std::uint32_t kTag = 4;
constexpr std::uint32_t kIpv4Checksum = 10;

/// Moves everything that is counted from the frame's first byte.
void shift_offsets(ports::Frame& frame, int bytes) {
  const auto moved = [bytes](std::uint16_t offset) { return static_cast<std::uint16_t>(std::max(0, offset + bytes)); };
  if (frame.l3_offset != 0) frame.l3_offset = moved(frame.l3_offset);
  if (frame.l4_offset != 0) frame.l4_offset = moved(frame.l4_offset);
  if (frame.offload.needs_csum()) frame.offload.csum_start = moved(frame.offload.csum_start);
  if (frame.offload.hdr_len != 0) frame.offload.hdr_len = moved(frame.offload.hdr_len);
}

/// The pseudo header has changed by `delta`.
void follow_address(ports::Frame& frame, const Headers& headers, std::uint64_t delta) {
  std::uint8_t* const field = frame.head + headers.checksum;
  const bool udp = headers.transport == protocol::kUdp;
  if (!udp && headers.transport != protocol::kTcp && headers.transport != protocol::kIcmp6) return;
  if (headers.partial) {
    update_partial_sum(field, delta);
  } else if (!udp || read_be16(field) != 0) {  // RFC 768: zero is no checksum
    update_checksum(field, delta);
    if (udp && read_be16(field) == 0) write_be16(field, 0xffff);
  }
}

/// What the transport checksum covers has changed by `delta`, in the transport header.
void follow_transport(ports::Frame& frame, const Headers& headers, std::uint64_t delta) {
  if (headers.partial) return;  // it does not cover the header yet
  std::uint8_t* const field = frame.head + headers.checksum;
  const bool udp = headers.transport == protocol::kUdp;
  if (udp && read_be16(field) == 0) return;
  update_checksum(field, delta);
  if (udp && read_be16(field) == 0) write_be16(field, 0xffff);
}

std::uint64_t replace(std::uint8_t* field, std::span<const std::uint8_t> bytes) {
  const std::uint64_t delta = ones_delta({field, bytes.size()}, bytes);
  std::memcpy(field, bytes.data(), bytes.size());
  return delta;
}

void set_sctp_port(ports::Frame& frame, const Headers& headers, Side side, std::uint16_t value) {
  if (headers.fragment) return;
  std::uint8_t* const l4 = frame.head + headers.l4;
  std::uint32_t before = 0;
  std::uint32_t after = 0;
  std::uint32_t crc = 0;
  std::memcpy(&before, l4, sizeof before);
  write_be16(l4 + (side == Side::source ? 0 : 2), value);
  std::memcpy(&after, l4, sizeof after);
  std::memcpy(&crc, frame.head + headers.checksum, sizeof crc);
  crc ^= crc32c_delta(before ^ after, headers.l4_size);
  std::memcpy(frame.head + headers.checksum, &crc, sizeof crc);
}

}  // namespace

void push_vlan(ports::Frame& frame, std::array<std::uint8_t, 2> tpid, std::uint16_t tci) {
  std::memmove(frame.head - kTag, frame.head, kMacs);
  frame.head -= kTag;
  frame.head_size += kTag;
  frame.size += kTag;
  std::memcpy(frame.head + kMacs, tpid.data(), tpid.size());
  write_be16(frame.head + kMacs + 2, tci);
  shift_offsets(frame, static_cast<int>(kTag));
}

bool has_vlan(const ports::Frame& frame) {
  if (frame.head_size < kMacs + kTag + 2) return false;
  const std::uint16_t tpid = read_be16(frame.head + kMacs);
  return tpid == 0x8100 || tpid == 0x88a8;
}

bool pop_vlan(ports::Frame& frame) {
  if (!has_vlan(frame)) return false;
  std::memmove(frame.head + kTag, frame.head, kMacs);
  frame.head += kTag;
  frame.head_size -= kTag;
  frame.size -= kTag;
  shift_offsets(frame, -static_cast<int>(kTag));
  return true;
}

void set_vlan_bits(ports::Frame& frame, std::uint16_t bits, std::uint16_t mask) {
  std::uint8_t* const tci = frame.head + kMacs + 2;
  write_be16(tci, static_cast<std::uint16_t>((read_be16(tci) & ~mask) | (bits & mask)));
}

void set_dl_address(ports::Frame& frame, Side side, std::span<const std::uint8_t, 6> address) {
  std::memcpy(frame.head + (side == Side::source ? 6 : 0), address.data(), address.size());
}

void set_ipv4_address(ports::Frame& frame, Side side, std::span<const std::uint8_t, 4> address) {
  const Headers headers = find_headers(frame);
  std::uint8_t* const l3 = frame.head + headers.l3;
  if (headers.network == Network::arp) {
    std::memcpy(l3 + (side == Side::source ? 14 : 24), address.data(), address.size());
  } else if (headers.network == Network::ipv4) {
    const std::uint64_t delta = replace(l3 + (side == Side::source ? 12 : 16), address);
    update_checksum(l3 + kIpv4Checksum, delta);
    follow_address(frame, headers, delta);
  }
}

void set_ipv6_address(ports::Frame& frame, Side side, std::span<const std::uint8_t, 16> address) {
  const Headers headers = find_headers(frame);
  if (headers.network != Network::ipv6) return;
  const std::uint64_t delta = replace(frame.head + headers.l3 + (side == Side::source ? 8 : 24), address);
  // RFC 8200, 8.1: the pseudo header has the final destination.
  if (side == Side::source || !headers.source_routed) follow_address(frame, headers, delta);
}

void set_dscp(ports::Frame& frame, std::uint8_t tos) {
  constexpr unsigned kEcn = 3;
  const Headers headers = find_headers(frame);
  std::uint8_t* const l3 = frame.head + headers.l3;
  if (headers.network == Network::ipv4) {
    const std::array<std::uint8_t, 2> word{l3[0], static_cast<std::uint8_t>((tos & ~kEcn) | (l3[1] & kEcn))};
    update_checksum(l3 + kIpv4Checksum, replace(l3, word));
  } else if (headers.network == Network::ipv6) {
    // version, traffic class, flow label: 4, 8 and 20 bits
    const unsigned traffic_class = (tos & ~kEcn) | (static_cast<unsigned>(l3[1] >> 4U) & kEcn);
    l3[0] = static_cast<std::uint8_t>((l3[0] & 0xf0U) | traffic_class >> 4U);
    l3[1] = static_cast<std::uint8_t>((traffic_class & 0x0fU) << 4U | (l3[1] & 0x0fU));
  }
}

void set_transport(ports::Frame& frame, Side side, std::uint16_t value) {
  const Headers headers = find_headers(frame);
  std::uint8_t* const l4 = frame.head + headers.l4;
  switch (headers.transport) {
    case protocol::kTcp:
    case protocol::kUdp: {
      const std::array<std::uint8_t, 2> port{static_cast<std::uint8_t>(value >> 8U),
                                             static_cast<std::uint8_t>(value & 0xffU)};
      follow_transport(frame, headers, replace(l4 + (side == Side::source ? 0 : 2), port));
      break;
    }
    case protocol::kSctp: set_sctp_port(frame, headers, side, value); break;
    case protocol::kIcmp:
    case protocol::kIcmp6: {
      std::array<std::uint8_t, 2> type_and_code{l4[0], l4[1]};
      type_and_code[side == Side::source ? 0 : 1] = static_cast<std::uint8_t>(value);
      follow_transport(frame, headers, replace(l4, type_and_code));
      break;
    }
    default: break;
  }
}

bool decrement_ttl(ports::Frame& frame) {
  const Headers headers = find_headers(frame);
  std::uint8_t* const l3 = frame.head + headers.l3;
  if (headers.network == Network::ipv4) {
    if (l3[8] <= 1) return false;
    const std::array<std::uint8_t, 2> ttl_and_protocol{static_cast<std::uint8_t>(l3[8] - 1), l3[9]};
    update_checksum(l3 + kIpv4Checksum, replace(l3 + 8, ttl_and_protocol));
  } else if (headers.network == Network::ipv6) {
    if (l3[7] <= 1) return false;
    --l3[7];
  }
  return true;
}

}  // namespace sluice::datapath
