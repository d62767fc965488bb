#include "perf/vmgen/frame_reader.hpp"

#include <netinet/in.h>
#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_mbuf.h>

#include "perf/vmgen/frame_writer.hpp"

namespace sluice::vmgen {
namespace {

constexpr std::size_t kIp = sizeof(rte_ether_hdr);

/// What a VM does with a frame brings all of it to its core.
void load_every_line(const rte_mbuf& frame) {
  for (const rte_mbuf* segment = &frame; segment != nullptr; segment = segment->next) {
    const auto* bytes = rte_pktmbuf_mtod(segment, const volatile std::uint8_t*);
    for (std::uint32_t at = 0; at < segment->data_len; at += RTE_CACHE_LINE_SIZE) (void)bytes[at];
    if (segment->data_len != 0) (void)bytes[segment->data_len - 1];  // the last line, if it begins elsewhere
  }
}

}  // namespace

FrameReader::FrameReader(Protocol protocol, Verify verify)
    : layout_{ProbeLayout::of(protocol)},
      ip_protocol_{protocol == Protocol::kUdp ? std::uint8_t{IPPROTO_UDP} : std::uint8_t{IPPROTO_TCP}},
      verify_{verify},
      scratch_(UINT16_MAX + kIp) {}

FrameKind FrameReader::read(const rte_mbuf& frame, Probe& probe) {
  const std::uint32_t length = frame.pkt_len;
  if (length < kHead || length > scratch_.size()) return FrameKind::kForeign;
  load_every_line(frame);
  const std::uint32_t wanted = verify_ == Verify::kFull ? length : kHead;
  const void* bytes = rte_pktmbuf_read(&frame, 0, wanted, scratch_.data());
  return read(static_cast<const std::uint8_t*>(bytes), length, probe);
}

FrameKind FrameReader::read(const std::uint8_t* frame, std::uint32_t length, Probe& probe) const {
  if (length < kHead) return FrameKind::kForeign;
  if (load<std::uint16_t>(frame + layout_.magic) != kMagic ||
      load<std::uint16_t>(frame + offsetof(rte_ether_hdr, ether_type)) != htons(RTE_ETHER_TYPE_IPV4) ||
      frame[kIp + offsetof(rte_ipv4_hdr, next_proto_id)] != ip_protocol_) {
    return FrameKind::kForeign;
  }
  const ProbeWords words{load<std::uint64_t>(frame + layout_.order), load<std::uint64_t>(frame + layout_.stamp)};
  const std::uint32_t crc =
      std::uint32_t{load<std::uint16_t>(frame + layout_.crc_high)} << 16 | load<std::uint16_t>(frame + layout_.crc_low);
  probe = Probe::of(words);
  const std::uint32_t ip_length = ntohs(load<std::uint16_t>(frame + kIp + offsetof(rte_ipv4_hdr, total_length)));
  if (crc != probe_crc(words, length) || ip_length + kIp != length) return FrameKind::kCorrupted;
  return verify_ == Verify::kProbe || all_is_intact(frame, length, words) ? FrameKind::kGood : FrameKind::kCorrupted;
}

bool FrameReader::all_is_intact(const std::uint8_t* frame, std::uint32_t length, ProbeWords probe) const {
  const std::uint32_t ip_sum = sum_of({frame + kIp, sizeof(rte_ipv4_hdr)});
  return (ip_sum & 0xffff) + (ip_sum >> 16) == 0xffff &&
         body_is_intact({frame + kHead, length - kHead}, body_key(probe));
}

}  // namespace sluice::vmgen
