// The law, with packets: what the fast path does with a packet is what the slow path would have decided for it, at
// every moment, and a change reaches every flow that depended on it, and only those.
#include <gtest/gtest.h>
#include <netinet/in.h>

#include "tests/unit/law/episodes.hpp"

namespace sluice::test {
namespace {

using control::testing::one_in;
using flowtable::PacketClass;

/// Frames of every class, made of random keys.
class Law : public Episodes {
  Body new_body() override {
    Body body{.in_port = any_port(), .bytes = {}, .offload = {}};
    const std::size_t payload = one_in(random_, 4) ? 200 + any(1000) : 20 + any(40);
    body.bytes = frame_of(random_packet_key(random_, body.in_port), payload);
    if (one_in(random_, 6)) {  // any bytes at all in the headers
      for (unsigned n = 1 + any(3); n != 0; --n)
        body.bytes[any(60) % (body.bytes.size() - kTail)] = static_cast<std::uint8_t>(any(256));
    }
    return body;
  }
};

TEST_P(Law, what_comes_out_is_what_the_pipeline_says_at_that_moment) { obey_the_law(); }

INSTANTIATE_TEST_SUITE_P(Seeds, Law, ::testing::Range(0, 200));

/// Frames whose checksum, and often segmentation, the guest has left to others.
class LawOfOffloads : public Episodes {
  Body new_body() override {
    Body body{.in_port = static_cast<PortId>(any(Joined::kGuests)), .bytes = {}, .offload = {}};
    FlowKey key = random_packet_key(random_, body.in_port);
    const auto is = [&](PacketClass c) { return key.packet_class == static_cast<std::uint8_t>(c); };
    const auto is_tcp = [&] { return is(PacketClass::ipv4_tcp) || is(PacketClass::ipv6_tcp); };
    while (!is_tcp() && !is(PacketClass::ipv4_udp) && !is(PacketClass::ipv6_udp)) {
      key = random_packet_key(random_, body.in_port);
    }
    key.nw_frag = 0;
    const bool segmented = is_tcp() && one_in(random_, 2);
    body.bytes = frame_of(key, segmented ? kSegmentedPayload : 20 + any(400));
    GuestFrame frame(body.bytes);
    EXPECT_FALSE(datapath::parse(frame.frame(), body.in_port, key));
    body.offload.flags = ports::Offload::kNeedsCsum;
    body.offload.csum_start = frame.frame().l4_offset;
    body.offload.csum_offset = is_tcp() ? 16 : 6;
    if (segmented) {
      body.offload.gso_type = is(PacketClass::ipv4_tcp) ? ports::Offload::kGsoTcpV4 : ports::Offload::kGsoTcpV6;
      body.offload.gso_size = static_cast<std::uint16_t>(200 + kTail * any(100));
      body.offload.hdr_len = static_cast<std::uint16_t>(body.offload.csum_start + 20);
    }
    return body;
  }
};

TEST_P(LawOfOffloads, what_comes_out_is_what_the_pipeline_says_with_all_done_that_was_left) { obey_the_law(); }

INSTANTIATE_TEST_SUITE_P(Seeds, LawOfOffloads, ::testing::Range(0, 30));

}  // namespace
}  // namespace sluice::test
