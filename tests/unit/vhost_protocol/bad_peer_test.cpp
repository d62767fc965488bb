// Peers that send nothing wrong and still do harm: who do not read, do not stop connecting, or do not finish.
#include "bench.hpp"
#include "ports/vhost/virtio.hpp"

namespace sluice::test {
namespace {

namespace feature = ports::vhost::feature;
namespace protocol_feature = ports::vhost::protocol_feature;

constexpr std::uint64_t kFeatures = feature::kProtocolFeatures | feature::kVersion1 | feature::kMrgRxbuf;
constexpr std::uint64_t kProtocol = protocol_feature::kMq | protocol_feature::kReplyAck;
constexpr std::size_t kRamSize = 1U << 20U;

using BadPeer = Bench;

TEST_F(BadPeer, that_never_reads_its_replies_is_closed) {
  const auto port = server("p");
  const Held before = Held::now();
  FrontEnd peer = connect("p");
  ASSERT_TRUE(eventually([&] {
    for (int i = 0; i < 16; ++i) peer.send(Request::get_features);
    return !errors_.empty();
  }));
  EXPECT_NE(errors_[0].find("does not read the replies"), std::string::npos) << errors_[0];
  peer.close();
  EXPECT_EQ(Held::now(), before);
}

TEST_F(BadPeer, that_connects_a_thousand_times_is_turned_away_and_starves_nobody) {
  const auto port = server("p");
  const auto other = server("other");
  FrontEnd first = connect("p");
  FrontEnd victim = connect("other");
  ASSERT_TRUE(first.settle());
  ASSERT_TRUE(victim.settle());
  const Held before = Held::now();
  for (int i = 0; i < 1000; i += 100) {
    std::vector<FrontEnd> crowd;
    for (int k = 0; k < 100; ++k) crowd.push_back(connect("p"));
    EXPECT_TRUE(victim.settle());
    EXPECT_TRUE(first.settle());
    for (FrontEnd& one : crowd) EXPECT_TRUE(one.wait_until_closed());
  }
  EXPECT_EQ(Held::now(), before);
  EXPECT_LE(lines_.size(), 60U) << "the log is not filled either";
}

TEST_F(BadPeer, that_connects_and_leaves_a_thousand_times_leaves_nothing) {
  const auto port = server("p");
  const Held before = Held::now();
  for (int i = 0; i < 1000; ++i) {
    FrontEnd peer = connect("p");
    if (i % 100 == 0) {
      ASSERT_TRUE(peer.settle());
    }
    peer.close();
    loop_.run_once(std::chrono::milliseconds(0));
  }
  ASSERT_TRUE(eventually([&] { return port->status().state == "listening"; }));
  ASSERT_TRUE(eventually([&] { return Held::now() == before; }));
}

TEST_F(BadPeer, whose_call_fd_is_full_does_not_hold_up_the_switch) {
  const auto port = server("p");
  FrontEnd peer = connect("p");
  GuestRam ram(kRamSize);
  const UniqueFd full = event();
  const std::uint64_t most = 0xfffffffffffffffe;
  ASSERT_EQ(::write(full.get(), &most, sizeof most), 8);
  peer.negotiate(kFeatures, kProtocol);
  peer.send_memory(ram);
  peer.start_ring(ram, 0, 256, 0, full.get(), full.get());
  peer.start_ring(ram, 1, 256, 0, full.get(), full.get());
  EXPECT_TRUE(peer.settle());
  EXPECT_EQ(port->rx_queues().size(), 1U);
}

TEST_F(BadPeer, that_sets_up_a_ring_larger_than_the_queue_size_is_closed) {
  auto o = options("p", ports::vhost::SocketMode::server);
  o.queue_size = 1024;
  const auto port = make(o);
  FrontEnd peer = connect("p");
  peer.send_state(Request::set_vring_num, 0, 1024);
  ASSERT_TRUE(peer.settle());
  EXPECT_TRUE(errors_.empty());
  peer.send_state(Request::set_vring_num, 0, 2048);
  ASSERT_TRUE(peer.wait_until_closed());
  ASSERT_FALSE(errors_.empty());
  EXPECT_NE(errors_[0].find("allows rings of up to 1024 entries, not 2048"), std::string::npos) << errors_[0];
}

TEST_F(BadPeer, that_trickles_bytes_does_not_move_the_deadline) {
  auto o = options("p", ports::vhost::SocketMode::server);
  o.message_deadline = std::chrono::milliseconds(100);
  const auto port = make(o);
  FrontEnd peer = connect("p");
  const std::uint8_t byte = 5;  // SET_MEM_TABLE, and then nothing but zeroes
  peer.send_bytes(&byte, 1);
  const auto start = std::chrono::steady_clock::now();
  std::size_t sent = 1;
  ASSERT_TRUE(eventually([&] {
    const auto due = (std::chrono::steady_clock::now() - start) / std::chrono::milliseconds(20);
    if (static_cast<std::size_t>(due) >= sent && sent < 11) {
      const std::uint8_t next = sent == 4 ? 1 : 0;
      peer.send_bytes(&next, 1);
      ++sent;
    }
    return !errors_.empty();
  }));
  EXPECT_NE(errors_[0].find("half a message"), std::string::npos) << errors_[0];
}

}  // namespace
}  // namespace sluice::test
