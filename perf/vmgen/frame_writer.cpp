#include "perf/vmgen/frame_writer.hpp"

#include <netinet/in.h>
#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_tcp.h>
#include <rte_udp.h>

#include <algorithm>
#include <bit>
#include <vector>

namespace sluice::vmgen {
namespace {

constexpr std::size_t kIp = sizeof(rte_ether_hdr);
constexpr std::size_t kL4 = kIp + sizeof(rte_ipv4_hdr);
constexpr std::size_t kIpChecksum = kIp + offsetof(rte_ipv4_hdr, hdr_checksum);
constexpr std::size_t kSrcIp = kIp + offsetof(rte_ipv4_hdr, src_addr);
constexpr std::size_t kTcpChecksum = kL4 + offsetof(rte_tcp_hdr, cksum);
constexpr std::uint64_t kStep = 0x9e3779b97f4a7c15;

/// To 16 bits, carries added in again.
constexpr std::uint16_t fold(std::uint64_t sum) {
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(sum);
}

constexpr std::uint64_t halves(std::uint32_t word) { return (word & 0xffff) + (word >> 16); }
constexpr std::uint64_t halves(std::uint64_t word) {
  return halves(static_cast<std::uint32_t>(word)) + halves(static_cast<std::uint32_t>(word >> 32));
}

constexpr std::uint64_t word_of(std::uint64_t key, std::size_t index) { return (key + index + 1) * kStep; }

}  // namespace

std::uint32_t sum_of(std::span<const std::uint8_t> bytes, std::uint32_t sum) {
  return rte_raw_cksum(bytes.data(), bytes.size()) + sum;
}

std::uint64_t body_key(ProbeWords probe) {
  return (probe.order ^ std::uint64_t{Probe::of(probe).sender} << 56) * 0xff51afd7ed558ccd | 1;
}

void write_body(std::span<std::uint8_t> part, std::uint64_t key, std::size_t offset) {
  std::size_t index = offset / 8;
  std::size_t at = 0;
  for (; at + 8 <= part.size(); at += 8) store(&part[at], word_of(key, index++));
  const std::uint64_t last = word_of(key, index);
  if (at < part.size()) std::memcpy(&part[at], &last, part.size() - at);
}

bool body_is_intact(std::span<const std::uint8_t> body, std::uint64_t key) {
  std::uint64_t wrong = 0;
  std::size_t index = 0;
  std::size_t at = 0;
  for (; at + 8 <= body.size(); at += 8) wrong |= load<std::uint64_t>(&body[at]) ^ word_of(key, index++);
  const std::uint64_t last = word_of(key, index);
  return wrong == 0 && (at == body.size() || std::memcmp(&body[at], &last, body.size() - at) == 0);
}

FrameWriter::FrameWriter(const Settings& settings)
    : length_{settings.length}, protocol_{settings.protocol}, offload_{settings.checksum_offload} {
  const auto ip_length = static_cast<std::uint16_t>(length_ - kIp);
  const auto l4_length = static_cast<std::uint16_t>(length_ - kL4);
  const bool udp = protocol_ == Protocol::kUdp;

  rte_ether_hdr ether{};
  std::copy(settings.dst.begin(), settings.dst.end(), ether.dst_addr.addr_bytes);
  std::copy(settings.src.begin(), settings.src.end(), ether.src_addr.addr_bytes);
  ether.ether_type = htons(RTE_ETHER_TYPE_IPV4);
  store(&head_[0], ether);

  rte_ipv4_hdr ip{};
  ip.version_ihl = RTE_IPV4_VHL_DEF;
  ip.total_length = htons(ip_length);
  ip.fragment_offset = htons(RTE_IPV4_HDR_DF_FLAG);
  ip.time_to_live = 64;
  ip.next_proto_id = udp ? IPPROTO_UDP : IPPROTO_TCP;
  store(&head_[kIp], ip);
  ip_sum_ = sum_of(std::span{head_}.subspan(kIp, sizeof ip));
  pseudo_sum_ = htons(ip.next_proto_id) + std::uint32_t{htons(l4_length)};

  if (udp) {
    rte_udp_hdr header{};  // checksum 0: none, RFC 768
    header.dgram_len = htons(l4_length);
    store(&head_[kL4], header);
  } else {
    rte_tcp_hdr header{};
    header.data_off = sizeof header / 4 << 4;
    header.tcp_flags = RTE_TCP_ACK_FLAG;
    store(&head_[kL4], header);
    store(&head_[ProbeLayout::of(protocol_).magic], kMagic);
    tcp_sum_ = sum_of(std::span{head_}.subspan(kL4));
  }
  store(&head_[ProbeLayout::of(protocol_).magic], kMagic);

  std::vector<std::uint8_t> body(length_ - kHead);
  write_body(body, kPlainBodyKey, 0);
  plain_body_sum_ = sum_of(body);
}

void FrameWriter::write_head(std::uint8_t* head, ProbeWords probe, FlowAddress::Words flow,
                             std::uint32_t body_sum) const {
  const ProbeLayout at = ProbeLayout::of(protocol_);
  std::memcpy(head, head_.data(), kHead);

  store(head + kSrcIp, flow.ips_be);
  store(head + kIpChecksum, static_cast<std::uint16_t>(~fold(ip_sum_ + halves(flow.ips_be))));
  store(head + kL4, flow.ports_be);

  const std::uint32_t crc = probe_crc(probe, length_);
  store(head + at.order, probe.order);
  store(head + at.stamp, probe.stamp);
  store(head + at.crc_high, static_cast<std::uint16_t>(crc >> 16));
  store(head + at.crc_low, static_cast<std::uint16_t>(crc));

  if (protocol_ == Protocol::kTcp) {
    const std::uint64_t pseudo = pseudo_sum_ + halves(flow.ips_be);
    const std::uint64_t all =
        pseudo + tcp_sum_ + halves(flow.ports_be) + halves(probe.order) + halves(probe.stamp) + halves(crc) + body_sum;
    store(head + kTcpChecksum, offload_ ? fold(pseudo) : static_cast<std::uint16_t>(~fold(all)));
  }
}

}  // namespace sluice::vmgen
