#include "datapath/headers.hpp"
#include "datapath/wire.hpp"

#include <algorithm>

namespace sluice::datapath {

namespace {

constexpr std::uint32_t kEthernet = 14;
constexpr std::uint16_t kEthertypeIpv4 = 0x0800;
constexpr std::uint16_t kEthertypeArp = 0x0806;
constexpr std::uint16_t kEthertypeIpv6 = 0x86dd;
constexpr std::uint32_t kArpSize = 28;
constexpr std::uint32_t kIpv4Size = 20;
constexpr std::uint32_t kIpv6Size = 40;

/// What is looked at in a transport header: its least size, and where its checksum is.
struct Transport {
  std::uint32_t size;
  std::uint32_t checksum;
};

Transport transport_of(std::uint8_t number, Headers::Network network) {
  switch (number) {
    case protocol::kTcp: return {20, 16};
    case protocol::kUdp: return {8, 6};
    case protocol::kSctp: return {12, 8};
    case protocol::kIcmp: return network == Headers::Network::ipv4 ? Transport{4, 2} : Transport{0, 0};
    case protocol::kIcmp6: return network == Headers::Network::ipv6 ? Transport{4, 2} : Transport{0, 0};
    default: return {0, 0};
  }
}

/// Where a packet ends whose header says `size`, counted from `start`. Some guests leave the length of a frame that is
/// to be segmented to be filled in.
std::uint32_t packet_end(const ports::Frame& frame, std::uint32_t start, std::uint32_t size) {
  const bool open = size == 0 && frame.offload.gso_type != ports::Offload::kGsoNone;
  return open ? frame.size : start + size;
}

void find_transport(const ports::Frame& frame, std::uint8_t number, std::uint32_t ip_end, Headers& headers) {
  const Transport transport = transport_of(number, headers.network);
  const std::uint32_t l4 = frame.l4_offset;
  const std::uint32_t end = std::min(ip_end, frame.size);
  if (transport.size == 0 || l4 + transport.size > std::min(end, frame.head_size)) return;
  headers.transport = number;
  headers.l4 = l4;
  headers.l4_size = end - l4;
  headers.checksum = l4 + transport.checksum;
  const ports::Offload& offload = frame.offload;
  headers.partial = offload.needs_csum() && offload.csum_start == l4 && offload.csum_offset == transport.checksum;
}

void find_ipv4(const ports::Frame& frame, Headers& headers) {
  const std::uint8_t* ip = frame.head + headers.l3;
  if (headers.l3 + kIpv4Size > frame.head_size || ip[0] >> 4U != 4) return;
  const std::uint32_t header_size = (ip[0] & 0x0fU) * 4U;
  if (header_size < kIpv4Size || headers.l3 + header_size > frame.head_size) return;
  headers.network = Headers::Network::ipv4;
  const std::uint16_t fragment = read_be16(ip + 6) & 0x3fffU;  // MF and the offset
  headers.fragment = fragment != 0;
  const bool later = (fragment & 0x1fffU) != 0;
  if (!later && frame.l4_offset == headers.l3 + header_size) {
    find_transport(frame, ip[9], packet_end(frame, headers.l3, read_be16(ip + 2)), headers);
  }
}

/// Follows the extension headers (RFC 8200, 4) up to where parse found the transport header.
void find_ipv6(const ports::Frame& frame, Headers& headers) {
  constexpr std::uint8_t kRouting = 43;
  constexpr std::uint8_t kFragment = 44;
  constexpr std::uint8_t kAuthentication = 51;
  const std::uint8_t* ip = frame.head + headers.l3;
  if (headers.l3 + kIpv6Size > frame.head_size || ip[0] >> 4U != 6) return;
  headers.network = Headers::Network::ipv6;
  std::uint8_t next = ip[6];
  std::uint32_t at = headers.l3 + kIpv6Size;
  while (at < frame.l4_offset) {
    if (at + 8 > frame.head_size) return;
    const std::uint8_t* extension = frame.head + at;
    if (next == kRouting && extension[3] != 0) headers.source_routed = true;
    if (next == kFragment) headers.fragment = (read_be16(extension + 2) & 0xfff9U) != 0;
    const std::uint32_t units = extension[1];
    at += next == kFragment ? 8U : next == kAuthentication ? (units + 2) * 4U : (units + 1) * 8U;
    next = extension[0];
  }
  if (at == frame.l4_offset) {
    find_transport(frame, next, packet_end(frame, headers.l3 + kIpv6Size, read_be16(ip + 4)), headers);
  }
}

}  // namespace

Headers find_headers(const ports::Frame& frame) {
  Headers headers;
  headers.l3 = frame.l3_offset;
  if (headers.l3 < kEthernet || headers.l3 > frame.head_size) return headers;
  switch (read_be16(frame.head + headers.l3 - 2)) {
    case kEthertypeIpv4: find_ipv4(frame, headers); break;
    case kEthertypeIpv6: find_ipv6(frame, headers); break;
    case kEthertypeArp:
      // RFC 826: Ethernet and IPv4, with addresses of six and four bytes.
      if (headers.l3 + kArpSize <= frame.head_size && read_be16(frame.head + headers.l3) == 1 &&
          read_be16(frame.head + headers.l3 + 2) == kEthertypeIpv4 &&
          read_be16(frame.head + headers.l3 + 4) == 0x0604) {
        headers.network = Headers::Network::arp;
      }
      break;
    default: break;
  }
  return headers;
}

}  // namespace sluice::datapath
