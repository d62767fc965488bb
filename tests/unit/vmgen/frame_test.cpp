// Frames as they are written are read as good; changed in any bit that a switch must not change, they are not.
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_tcp.h>
#include <rte_udp.h>

#include <vector>

#include "perf/vmgen/frame_reader.hpp"
#include "perf/vmgen/frame_writer.hpp"

namespace sluice::vmgen {
namespace {

constexpr Mac kSrc{2, 0, 0, 0, 0, 0};
constexpr Mac kDst{2, 0, 0, 0, 1, 0};
constexpr FlowAddress kAddress{0x10000007, 0x51fffffe, 4000, 65'023};
constexpr Probe kProbe{
    .flow = 0xfedcba98, .number = 0x89abcdef, .stamp = 0xa5a5a5a5a5, .sender = 3, .receiver = 9, .run = 200};
constexpr std::size_t kIp = sizeof(rte_ether_hdr);
constexpr std::size_t kL4 = kIp + sizeof(rte_ipv4_hdr);

struct Setting {
  Protocol protocol;
  std::uint32_t length;
};

std::vector<std::uint8_t> frame_of(const Setting& setting, const Probe& probe = kProbe, bool offload = false) {
  const FrameWriter writer{{kSrc, kDst, setting.protocol, offload, setting.length}};
  std::vector<std::uint8_t> frame(setting.length);
  const std::span<std::uint8_t> body = std::span{frame}.subspan(kHead);
  write_body(body, body_key(probe.words()), 0);
  writer.write_head(frame.data(), probe.words(), kAddress.words(), sum_of(body));
  return frame;
}

FrameKind kind_of(const std::vector<std::uint8_t>& frame, const Setting& setting, Verify verify = Verify::kFull) {
  Probe probe;
  return FrameReader{setting.protocol, verify}.read(frame.data(), static_cast<std::uint32_t>(frame.size()), probe);
}

class Frames : public ::testing::TestWithParam<Setting> {};

TEST_P(Frames, come_back_as_they_were_written) {
  const auto frame = frame_of(GetParam());
  Probe probe;
  FrameReader reader{GetParam().protocol, Verify::kFull};
  EXPECT_EQ(reader.read(frame.data(), static_cast<std::uint32_t>(frame.size()), probe), FrameKind::kGood);
  EXPECT_EQ(probe, kProbe);
}

TEST_P(Frames, are_what_a_receiver_of_ip_accepts) {
  const auto frame = frame_of(GetParam());
  const auto ether = load<rte_ether_hdr>(frame.data());
  EXPECT_TRUE(std::equal(kDst.begin(), kDst.end(), ether.dst_addr.addr_bytes));
  EXPECT_TRUE(std::equal(kSrc.begin(), kSrc.end(), ether.src_addr.addr_bytes));
  const auto ip = load<rte_ipv4_hdr>(&frame[kIp]);
  EXPECT_EQ(ntohs(ip.total_length) + kIp, frame.size());
  EXPECT_EQ(ntohl(ip.src_addr), kAddress.src_ip);
  EXPECT_EQ(ntohl(ip.dst_addr), kAddress.dst_ip);
  EXPECT_EQ(rte_raw_cksum(&frame[kIp], sizeof ip), 0xffff);
  const auto ports = load<std::array<std::uint16_t, 2>>(&frame[kL4]);
  EXPECT_EQ(ntohs(ports[0]), kAddress.src_port);
  EXPECT_EQ(ntohs(ports[1]), kAddress.dst_port);
  if (GetParam().protocol == Protocol::kUdp) {
    EXPECT_EQ(ntohs(load<rte_udp_hdr>(&frame[kL4]).dgram_len) + kL4, frame.size());
  } else {
    auto unsummed = frame;
    store(&unsummed[kL4 + offsetof(rte_tcp_hdr, cksum)], std::uint16_t{0});
    EXPECT_EQ(load<rte_tcp_hdr>(&frame[kL4]).cksum, rte_ipv4_udptcp_cksum(&ip, &unsummed[kL4]));
  }
}

TEST_P(Frames, with_offload_carry_the_sum_of_the_pseudo_header) {
  if (GetParam().protocol == Protocol::kUdp) return;  // has no checksum at all
  const auto frame = frame_of(GetParam(), kProbe, true);
  const auto ip = load<rte_ipv4_hdr>(&frame[kIp]);
  EXPECT_EQ(load<rte_tcp_hdr>(&frame[kL4]).cksum, rte_ipv4_phdr_cksum(&ip, 0));
}

TEST_P(Frames, changed_in_one_bit_of_probe_or_body_are_not_good) {
  const auto good = frame_of(GetParam());
  const ProbeLayout at = ProbeLayout::of(GetParam().protocol);
  std::vector<std::size_t> bytes;
  const auto add = [&](std::size_t from, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) bytes.push_back(from + i);
  };
  add(kIp, sizeof(rte_ipv4_hdr));
  add(at.magic, 2);
  add(at.order, 8);
  add(at.stamp, 8);
  add(at.crc_high, 2);
  add(at.crc_low, 2);
  add(kHead, good.size() - kHead);
  for (const std::size_t byte : bytes) {
    auto frame = good;
    frame[byte] = static_cast<std::uint8_t>(frame[byte] ^ (1U << (byte % 8)));
    ASSERT_NE(kind_of(frame, GetParam()), FrameKind::kGood) << "byte " << byte;
  }
}

TEST_P(Frames, with_another_ones_body_are_corrupted) {
  if (GetParam().length < kHead + 8) return;
  auto frame = frame_of(GetParam());
  Probe later = kProbe;
  ++later.number;
  const auto other = frame_of(GetParam(), later);
  std::copy(other.begin() + kHead, other.end(), frame.begin() + kHead);
  EXPECT_EQ(kind_of(frame, GetParam()), FrameKind::kCorrupted);
  EXPECT_EQ(kind_of(frame, GetParam(), Verify::kProbe), FrameKind::kGood)
      << "the body is read with --verify full alone";
}

TEST_P(Frames, of_another_length_are_corrupted) {
  auto longer = frame_of(GetParam());
  longer.push_back(0);
  EXPECT_EQ(kind_of(longer, GetParam(), Verify::kProbe), FrameKind::kCorrupted);
  auto shorter = frame_of({GetParam().protocol, GetParam().length + 1});
  shorter.pop_back();
  EXPECT_EQ(kind_of(shorter, GetParam(), Verify::kProbe), FrameKind::kCorrupted);
  auto mistaken = frame_of(GetParam());
  mistaken[kIp + offsetof(rte_ipv4_hdr, total_length) + 1] ^= 1;
  EXPECT_EQ(kind_of(mistaken, GetParam(), Verify::kProbe), FrameKind::kCorrupted);
}

TEST_P(Frames, without_the_magic_or_of_another_protocol_are_foreign) {
  auto frame = frame_of(GetParam());
  const Protocol other = GetParam().protocol == Protocol::kUdp ? Protocol::kTcp : Protocol::kUdp;
  EXPECT_EQ(kind_of(frame, {other, GetParam().length}), FrameKind::kForeign);
  frame[ProbeLayout::of(GetParam().protocol).magic] ^= 1;
  EXPECT_EQ(kind_of(frame, GetParam()), FrameKind::kForeign);
  frame.resize(kHead - 1);
  EXPECT_EQ(kind_of(frame, GetParam()), FrameKind::kForeign);
}

INSTANTIATE_TEST_SUITE_P(Lengths, Frames,
                         ::testing::Values(Setting{Protocol::kUdp, 64}, Setting{Protocol::kTcp, 64},
                                           Setting{Protocol::kUdp, 67}, Setting{Protocol::kTcp, 71},
                                           Setting{Protocol::kUdp, 594}, Setting{Protocol::kTcp, 1518},
                                           Setting{Protocol::kUdp, 9000}, Setting{Protocol::kTcp, 9000}),
                         [](const auto& test) {
                           return std::string{name_of(test.param.protocol)} + std::to_string(test.param.length);
                         });

TEST(Body, written_in_pieces_is_the_body_written_at_once) {
  std::vector<std::uint8_t> whole(1003);
  std::vector<std::uint8_t> pieces(1003);
  write_body(whole, 77, 0);
  write_body(std::span{pieces}.first(512), 77, 0);
  write_body(std::span{pieces}.subspan(512, 64), 77, 512);
  write_body(std::span{pieces}.subspan(576), 77, 576);
  EXPECT_EQ(whole, pieces);
  EXPECT_TRUE(body_is_intact(pieces, 77));
  EXPECT_FALSE(body_is_intact(pieces, 78));
}

TEST(Stamp, a_difference_survives_the_turn_of_its_bits) {
  const std::uint64_t turn = (kStampMask + 1) << kCyclesPerTickShift;
  EXPECT_EQ(ticks_since(stamp_of(turn - 160), turn + 320), 30);
}

}  // namespace
}  // namespace sluice::vmgen
