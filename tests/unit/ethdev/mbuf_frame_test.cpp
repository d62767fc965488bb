// Frames in mbufs and back, and what a device is asked to do with them.
#include <gtest/gtest.h>

#include <cstring>

#include <rte_mempool.h>

#include "ports/ethdev/device_offload.hpp"
#include "tests/unit/ethdev/in_mbuf.hpp"
#include "tests/unit/execute/world.hpp"

namespace sluice {
namespace {

using ports::DropReason;
using ports::Frame;
using ports::Offload;
using ports::Segment;
using test::Bytes;
using test::counting;
using test::GuestFrame;
using test::InMbuf;
using test::pieces;
using test::shared_pool;

TEST(MbufFrame, a_frame_of_any_size_is_the_same_in_mbufs) {
  for (const std::size_t size : {14U, 60U, 192U, 193U, 2047U, 2048U, 2049U, 9000U, 65557U}) {
    const Bytes bytes = counting(size);
    InMbuf in(ports::to_mbuf(GuestFrame(bytes, {}, 700).frame(), shared_pool()));
    ASSERT_FALSE(in.reason);
    EXPECT_EQ(test::bytes_of(in.frame), bytes);
    EXPECT_EQ(in.frame.size, size);
    EXPECT_GE(in.frame.head_size, std::min<std::size_t>(size, ports::kHeadSize));
  }
}

TEST(MbufFrame, what_is_left_to_be_done_is_remembered) {
  const Offload offload{
      .flags = 1, .gso_type = 4, .hdr_len = 74, .gso_size = 1000, .csum_start = 54, .csum_offset = 16};
  const auto same = [&](const Offload& other) { return std::memcmp(&other, &offload, sizeof offload) == 0; };
  rte_mbuf* mbuf = ports::to_mbuf(GuestFrame(counting(500), offload).frame(), shared_pool());
  EXPECT_TRUE(same(ports::remembered_offload(mbuf)));
  InMbuf in(mbuf);
  EXPECT_FALSE(in.frame.offload.any());
  in.frame.offload = offload;
  rte_mbuf* taken = ports::take_mbuf(in.frame, shared_pool());
  EXPECT_EQ(taken, mbuf);
  EXPECT_EQ(in.frame.mbuf, nullptr);
  EXPECT_TRUE(same(ports::remembered_offload(taken)));
  rte_pktmbuf_free(taken);
}

TEST(MbufFrame, a_moved_head_is_what_is_taken) {
  const Bytes bytes = counting(3000);
  InMbuf in(ports::to_mbuf(GuestFrame(bytes).frame(), shared_pool()));
  in.frame.head -= 4;
  in.frame.head_size += 4;
  in.frame.size += 4;
  std::fill_n(in.frame.head, 4, std::uint8_t{0xaa});
  Bytes expected = bytes;
  expected.insert(expected.begin(), 4, 0xaa);
  InMbuf again(ports::take_mbuf(in.frame, shared_pool()));
  EXPECT_EQ(test::bytes_of(again.frame), expected);
}

TEST(MbufFrame, headers_in_pieces_and_missing_headroom_are_laid_out_anew) {
  const unsigned free_before = rte_mempool_avail_count(shared_pool());
  const Bytes bytes = counting(1000);
  for (const std::size_t size : {10U, 100U, 191U, 192U, 1000U}) {
    for (const std::uint16_t headroom : {std::uint16_t{0}, std::uint16_t{63}, std::uint16_t{64}}) {
      InMbuf in(pieces(bytes, size, headroom));
      ASSERT_FALSE(in.reason);
      EXPECT_EQ(test::bytes_of(in.frame), bytes);
      EXPECT_GE(in.frame.head_size, ports::kHeadSize);
      EXPECT_GE(rte_pktmbuf_headroom(in.frame.mbuf), ports::kHeadroom);
    }
  }
  EXPECT_EQ(rte_mempool_avail_count(shared_pool()), free_before);
}

TEST(MbufFrame, an_mbuf_that_others_hold_is_not_written_to) {
  const Bytes bytes = counting(300);
  rte_mbuf* held = ports::to_mbuf(GuestFrame(bytes).frame(), shared_pool());
  rte_mbuf_refcnt_update(held, 1);
  InMbuf in(held);
  EXPECT_NE(in.frame.mbuf, held);
  EXPECT_EQ(test::bytes_of(in.frame), bytes);
  rte_pktmbuf_free(held);
}

TEST(MbufFrame, more_pieces_than_there_is_storage_for_are_a_drop) {
  std::array<Segment, 2> storage;
  Frame frame;
  EXPECT_EQ(ports::from_mbuf(pieces(counting(1000), 200, 128), storage, frame), DropReason::rx_chain_too_long);
}

TEST(MbufFrame, an_empty_pool_gives_nothing_and_keeps_nothing) {
  test::start_dpdk();
  auto pool = ports::make_mbuf_pool("small", 16, -1);
  ASSERT_TRUE(pool) << pool.error();
  EXPECT_EQ(ports::to_mbuf(GuestFrame(counting(60000)).frame(), pool->get()), nullptr);
  EXPECT_EQ(rte_mempool_avail_count(pool->get()), 16U);
}

TEST(MbufFrame, a_pool_that_does_not_fit_says_what_would_help) {
  const auto pool = ports::make_mbuf_pool("vast", 4'000'000, -1);
  ASSERT_FALSE(pool);
  EXPECT_NE(pool.error().find(" MiB more (memory.amount)"), std::string::npos) << pool.error();
  EXPECT_NE(pool.error().find("4000000 mbufs"), std::string::npos) << pool.error();
}

TEST(DeviceOffload, a_checksum_and_segmentation_are_asked_for_in_dpdks_terms) {
  Bytes bytes = counting(400);
  bytes[14] = 0x45;
  bytes[46] = 0x80;
  const auto ask = [&](const Offload& offload, std::uint16_t l3, std::uint16_t l4) {
    rte_mbuf* mbuf = ports::to_mbuf(GuestFrame(bytes).frame(), shared_pool());
    EXPECT_TRUE(ports::ethdev::ask_device(*mbuf, offload, l3, l4));
    const rte_mbuf asked = *mbuf;
    rte_pktmbuf_free(mbuf);
    return asked;
  };
  const rte_mbuf udp = ask({.flags = 1, .csum_start = 34, .csum_offset = 6}, 14, 34);
  EXPECT_EQ(udp.ol_flags, RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_UDP_CKSUM);
  EXPECT_EQ(udp.l2_len, 14);
  EXPECT_EQ(udp.l3_len, 20);
  const rte_mbuf tso = ask({.flags = 1, .gso_type = 1, .gso_size = 99, .csum_start = 34, .csum_offset = 16}, 14, 34);
  EXPECT_EQ(tso.ol_flags,
            RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_TCP_CKSUM | RTE_MBUF_F_TX_TCP_SEG | RTE_MBUF_F_TX_IP_CKSUM);
  EXPECT_EQ(tso.l4_len, 32);
  EXPECT_EQ(tso.tso_segsz, 99);
  EXPECT_EQ(ask({}, 14, 34).ol_flags, 0U);
  // A tunnel's inner checksum: done already.
  EXPECT_EQ(ask({.flags = 1, .csum_start = 84, .csum_offset = 6}, 14, 34).ol_flags, 0U);
}

}  // namespace
}  // namespace sluice
