#include "datapath/segment.hpp"

#include <algorithm>
#include <cstring>

#include "datapath/checksum.hpp"
#include "datapath/headers.hpp"
#include "datapath/wire.hpp"

namespace sluice::datapath {

namespace {

// TCP, RFC 9293, 3.1: offsets in the header, and flags.
constexpr std::uint32_t kSequence = 4;
constexpr std::uint32_t kDataOffset = 12;
constexpr std::uint32_t kFlags = 13;
constexpr std::uint16_t kChecksum = 16;
constexpr std::uint8_t kFin = 0x01;
constexpr std::uint8_t kPsh = 0x08;
constexpr std::uint8_t kCwr = 0x80;

}  // namespace

std::optional<TcpLayout> tcp_layout(const ports::Frame& frame) {
  const ports::Offload& offload = frame.offload;
  const Headers headers = find_headers(frame);
  const bool ipv6 = headers.network == Headers::Network::ipv6;
  if (offload.gso_type != (ipv6 ? ports::Offload::kGsoTcpV6 : ports::Offload::kGsoTcpV4)) return std::nullopt;
  // With a routing header the pseudo header's destination is not where the address is.
  if (headers.transport != protocol::kTcp || headers.fragment || headers.source_routed) return std::nullopt;

  const std::uint32_t tcp_size = static_cast<std::uint32_t>(frame.head[headers.l4 + kDataOffset] >> 4U) * 4U;
  const std::uint32_t payload = headers.l4 + tcp_size;
  if (tcp_size < 20 || tcp_size > headers.l4_size) return std::nullopt;
  if (payload > frame.head_size || payload > kMaxCopiedHead) return std::nullopt;
  const std::uint32_t payload_size = headers.l4_size - tcp_size;
  if (payload_size > offload.gso_size * kMaxTcpSegments) return std::nullopt;
  return TcpLayout{headers.l3, headers.l4, payload, payload_size, ipv6};
}

void Segmenter::next(FrameSlot& slot) {
  const std::uint32_t payload_size = std::min<std::uint32_t>(frame_.offload.gso_size, layout_.payload_size - offset_);
  ports::Frame& segment = slot.frame;
  segment = frame_;
  segment.head = slot.head();
  segment.head_size = layout_.payload;
  segment.size = layout_.payload + payload_size;
  segment.mbuf = nullptr;
  segment.outputs = 0;
  std::memcpy(segment.head, frame_.head, layout_.payload);

  auto end = slot.rest.begin();
  for (std::uint32_t left = payload_size; left != 0;) {
    const ports::Segment piece = piece_ == 0
                                     ? ports::Segment{frame_.head + layout_.payload, frame_.head_size - layout_.payload}
                                     : frame_.rest[piece_ - 1];
    const std::uint32_t taken = std::min(left, piece.size - piece_offset_);
    if (taken != 0) *end++ = {piece.data + piece_offset_, taken};
    left -= taken;
    piece_offset_ += taken;
    if (piece_offset_ == piece.size) {
      ++piece_;
      piece_offset_ = 0;
    }
  }
  segment.rest = slot.rest.data();
  segment.rest_count = static_cast<std::uint16_t>(end - slot.rest.begin());
  fix_headers(segment, payload_size);
  offset_ += payload_size;
  ++made_;
}

void Segmenter::fix_headers(ports::Frame& segment, std::uint32_t payload_size) const {
  std::uint8_t* const ip = segment.head + layout_.l3;
  std::uint8_t* const tcp = segment.head + layout_.l4;
  const std::uint32_t ip_size = layout_.payload - layout_.l3 + payload_size;
  const std::uint32_t tcp_size = layout_.payload - layout_.l4 + payload_size;
  if (layout_.ipv6) {
    write_be16(ip + 4, static_cast<std::uint16_t>(ip_size - 40));
  } else {
    write_be16(ip + 2, static_cast<std::uint16_t>(ip_size));
    write_be16(ip + 4, static_cast<std::uint16_t>(read_be16(ip + 4) + made_));
    write_ipv4_checksum(ip, layout_.l4 - layout_.l3);
  }

  write_be32(tcp + kSequence, read_be32(tcp + kSequence) + offset_);
  // FIN and PSH are the last segment's, CWR (RFC 3168, 6.1.2) is the first one's.
  const bool last = offset_ + payload_size == layout_.payload_size;
  std::uint8_t dropped = last ? 0 : kFin | kPsh;
  if (made_ != 0) dropped |= kCwr;
  tcp[kFlags] = static_cast<std::uint8_t>(tcp[kFlags] & ~dropped);

  const std::span addresses(ip + (layout_.ipv6 ? 8 : 12), layout_.ipv6 ? 32U : 8U);
  const std::uint16_t sum = fold(pseudo_header_sum(addresses, protocol::kTcp, tcp_size));
  std::memcpy(tcp + kChecksum, &sum, sizeof sum);
  segment.offload = {};
  segment.offload.flags = ports::Offload::kNeedsCsum;
  segment.offload.csum_start = static_cast<std::uint16_t>(layout_.l4);
  segment.offload.csum_offset = kChecksum;
}

}  // namespace sluice::datapath
