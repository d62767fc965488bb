#include "ports/ethdev/device_offload.hpp"

#include <cstring>

#include <rte_ip.h>
#include <rte_mbuf.h>

namespace sluice::ports::ethdev {

namespace {

// Where TCP and UDP have their checksums.
constexpr std::uint16_t kTcpChecksum = 16;
constexpr std::uint16_t kUdpChecksum = 6;

bool complete_in_software(rte_mbuf& mbuf, const Offload& offload) {
  const std::uint32_t field = std::uint32_t{offload.csum_start} + offload.csum_offset;
  std::uint16_t sum = 0;
  if (field + sizeof sum > mbuf.data_len) return false;
  if (rte_raw_cksum_mbuf(&mbuf, offload.csum_start, mbuf.pkt_len - offload.csum_start, &sum) != 0) return false;
  sum = static_cast<std::uint16_t>(~sum);
  if (sum == 0 && offload.csum_offset == kUdpChecksum) sum = 0xffff;
  std::memcpy(rte_pktmbuf_mtod_offset(&mbuf, std::uint8_t*, field), &sum, sizeof sum);
  return true;
}

}  // namespace

bool ask_device(rte_mbuf& mbuf, const Offload& offload, std::uint16_t l3_offset, std::uint16_t l4_offset) {
  // These two say what kind of buffer it is; all the others are about the frame.
  mbuf.ol_flags &= RTE_MBUF_F_EXTERNAL | RTE_MBUF_F_INDIRECT;
  const bool segments = offload.gso_type != Offload::kGsoNone;
  if (!segments && !offload.needs_csum()) [[likely]]
    return true;

  const bool tcp = segments || offload.csum_offset == kTcpChecksum;
  const std::uint32_t l4_size = tcp ? 20 : 8;
  const bool has_headers = l3_offset != 0 && l4_offset > l3_offset && l4_offset + l4_size <= mbuf.data_len;
  if (!segments && (!has_headers || offload.csum_start != l4_offset || (!tcp && offload.csum_offset != kUdpChecksum))) {
    return complete_in_software(mbuf, offload);
  }
  if (!has_headers) return false;

  const auto* const head = rte_pktmbuf_mtod(&mbuf, const std::uint8_t*);
  const bool ipv4 = head[l3_offset] >> 4U == 4;
  mbuf.l2_len = l3_offset & 0x7fU;
  mbuf.l3_len = static_cast<std::uint16_t>(l4_offset - l3_offset) & 0x1ffU;
  mbuf.ol_flags |= ipv4 ? RTE_MBUF_F_TX_IPV4 : RTE_MBUF_F_TX_IPV6;
  mbuf.ol_flags |= tcp ? RTE_MBUF_F_TX_TCP_CKSUM : RTE_MBUF_F_TX_UDP_CKSUM;
  if (segments) {
    mbuf.l4_len = static_cast<std::uint8_t>((head[l4_offset + 12U] >> 4U) * 4U);
    mbuf.tso_segsz = offload.gso_size;
    mbuf.ol_flags |= RTE_MBUF_F_TX_TCP_SEG;
    if (ipv4) mbuf.ol_flags |= RTE_MBUF_F_TX_IP_CKSUM;
  }
  return true;
}

}  // namespace sluice::ports::ethdev
