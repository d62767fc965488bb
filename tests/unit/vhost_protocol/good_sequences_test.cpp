// Sequences as QEMU and DPDK's virtio-user send them, and what the rings are after each.
#include <fcntl.h>

#include <random>

#include "bench.hpp"
#include "ports/vhost/connection.hpp"
#include "ports/vhost/device.hpp"
#include "ports/vhost/local_estate.hpp"

namespace sluice::test {
namespace {

using ports::vhost::Device;
using ports::vhost::Vring;
namespace feature = ports::vhost::feature;
namespace protocol_feature = ports::vhost::protocol_feature;

constexpr std::size_t kRamSize = 1U << 20U;
constexpr std::uint64_t kFeatures = feature::kProtocolFeatures | feature::kVersion1 | feature::kMrgRxbuf;
constexpr std::uint64_t kPacked = kFeatures | feature::kRingPacked;
constexpr std::uint32_t kNeedReply = ports::vhost::kVersion | ports::vhost::kNeedReplyFlag;

/// A Device behind a socket pair, so that what it has made of the messages can be looked at.
class GoodSequence : public Bench {
 protected:
  static std::pair<UniqueFd, UniqueFd> pair() {
    int ends[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
    return {UniqueFd(ends[0]), UniqueFd(ends[1])};
  }

  GoodSequence() : GoodSequence(pair()) {}
  explicit GoodSequence(std::pair<UniqueFd, UniqueFd> ends)
      : device_({2, 9000, -1},
                {host_.wait_for_pmds, [this] { ++changes_; },
                 [this](const std::uint8_t (&mac)[6]) { announced_.assign(mac, mac + 6); }, host_.log},
                estate_),
        connection_(std::move(ends.first), loop_, std::chrono::milliseconds(1000),
                    {[this](ports::vhost::Message m) { return device_.handle(std::move(m)); },
                     [this](const std::string& reason) { ended_ = reason; }}),
        peer(std::move(ends.second), pump()) {}
  ~GoodSequence() override { EXPECT_EQ(ended_, "") << "the sequence is good"; }

  [[nodiscard]] const Vring* vring(unsigned index) const { return device_.rings().queue(index).vring.load(); }
  void start(std::uint64_t features, std::uint32_t base = 0) {
    peer.negotiate(features, Device::kProtocolFeatures);
    peer.send_memory(ram);
    for (const std::uint32_t i : {0U, 1U}) peer.start_ring(ram, i, 256, base, kick.get(), call.get());
    peer.send_state(Request::set_vring_enable, 0, 1);
    peer.send_state(Request::set_vring_enable, 1, 1);
    ASSERT_TRUE(peer.settle());
    ASSERT_NE(vring(0), nullptr);
    ASSERT_NE(vring(1), nullptr);
  }
  [[nodiscard]] std::uint16_t& used_word(unsigned index, unsigned word) {
    return word_at(FrontEnd::ring_address(ram, index).used, word);
  }
  [[nodiscard]] std::uint16_t& avail_word(unsigned index, unsigned word) {
    return word_at(FrontEnd::ring_address(ram, index).available, word);
  }
  [[nodiscard]] std::uint16_t& word_at(std::uint64_t user, unsigned word) {
    return reinterpret_cast<std::uint16_t*>(ram.data() + (user - ram.user()))[word];
  }
  static std::uint64_t taken(const UniqueFd& eventfd) {
    std::uint64_t count = 0;
    ::fcntl(eventfd.get(), F_SETFL, O_NONBLOCK);
    return ::read(eventfd.get(), &count, sizeof count) == 8 ? count : 0;
  }

  ports::vhost::LocalEstate estate_;
  ports::vhost::PortState& state_ = estate_.state();
  unsigned changes_ = 0;
  std::vector<std::uint8_t> announced_;
  std::string ended_;
  Device device_;
  ports::vhost::Connection connection_;
  FrontEnd peer;
  GuestRam ram{kRamSize};
  UniqueFd kick = event();
  UniqueFd call = event();
};

TEST_F(GoodSequence, of_qemu_with_two_queue_pairs_runs_four_rings) {
  for (std::uint32_t pair = 0; pair < 2; ++pair) {  // one vhost_dev each, on the same connection
    EXPECT_EQ(peer.ask(Request::get_features), Device::kFeatures);
    EXPECT_EQ(peer.ask(Request::get_protocol_features), Device::kProtocolFeatures);
    peer.send_u64(Request::set_protocol_features, Device::kProtocolFeatures);
    EXPECT_EQ(peer.ask(Request::get_queue_num), 2U);
    EXPECT_EQ(peer.ask(Request::get_max_mem_slots), ports::vhost::GuestMemory::kMaxRegions);
    if (pair == 0) peer.send(Request::set_owner);
    for (std::uint32_t i = 0; i < 2; ++i) {
      peer.send_u64(Request::set_vring_err, 2 * pair + i, {call.get()});
      peer.send_u64(Request::set_vring_call, 2 * pair + i, {call.get()});
    }
    peer.send_state(Request::set_vring_enable, 2 * pair, 1);  // before any features are set
    peer.send_state(Request::set_vring_enable, 2 * pair + 1, 1);
  }
  for (std::uint32_t pair = 0; pair < 2; ++pair) {
    peer.send_u64(Request::set_features, kFeatures);
    EXPECT_EQ(peer.ask(Request::get_status), pair == 0 ? 0U : 8U);
    peer.send_u64(Request::set_status, 8);
    const ports::vhost::SingleRegion region{0, ram.region()};
    peer.send(Request::add_mem_reg, region, {ram.fd()}, kNeedReply);  // the same one for each pair
    EXPECT_EQ(peer.receive(), 0U);
    for (std::uint32_t i = 2 * pair; i < 2 * pair + 2; ++i) {
      peer.start_ring(ram, i, 256, 0, kick.get(), call.get());
      peer.send_state(Request::set_vring_enable, i, 1);
    }
  }
  ASSERT_TRUE(peer.settle());
  EXPECT_EQ(device_.rx_queues().size(), 2U);
  EXPECT_EQ(device_.tx_queues().size(), 2U);
  EXPECT_EQ(device_.rings().memory()->entries().size(), 1U);
  EXPECT_EQ(vring(3)->net_header_size, 12U);
  EXPECT_TRUE(vring(3)->mergeable);

  peer.send_u64(Request::set_status, 0);  // QEMU 7.2 sends it before it stops the rings
  for (std::uint32_t i = 0; i < 4; ++i) EXPECT_EQ(peer.get_vring_base(i), 0U);
  EXPECT_TRUE(device_.rx_queues().empty());
  EXPECT_TRUE(device_.tx_queues().empty());
}

TEST_F(GoodSequence, of_virtio_user_starts_a_packed_ring_with_16_bits_of_base) {
  start(kPacked, 1U << 15U);
  EXPECT_TRUE(vring(0)->packed);
  EXPECT_EQ(vring(0)->progress->position.next_used, 0U);
  EXPECT_EQ(vring(0)->progress->position.used_wrap, 1U);
  EXPECT_EQ(peer.get_vring_base(0), 0x80008000U);
}

TEST_F(GoodSequence, without_protocol_features_starts_rings_enabled) {
  peer.send_u64(Request::set_features, feature::kCsum);
  peer.send_memory(ram);
  peer.start_ring(ram, 0, 256, 0, kick.get(), call.get());
  ASSERT_TRUE(peer.settle());
  EXPECT_EQ(device_.tx_queues().size(), 1U);
  EXPECT_TRUE(vring(0)->enabled);
  EXPECT_EQ(vring(0)->net_header_size, 10U) << "a legacy driver without MRG_RXBUF";
}

TEST_F(GoodSequence, with_protocol_features_feeds_no_ring_before_it_is_enabled) {
  peer.negotiate(kFeatures, Device::kProtocolFeatures);
  peer.send_memory(ram);
  for (const std::uint32_t i : {0U, 1U}) peer.start_ring(ram, i, 256, 0, kick.get(), call.get());
  ASSERT_TRUE(peer.settle());
  EXPECT_TRUE(device_.tx_queues().empty());
  ASSERT_EQ(device_.rx_queues().size(), 1U) << "a guest's transmit ring is emptied even while disabled";
  EXPECT_FALSE(vring(1)->enabled);
  for (const std::uint32_t on : {1U, 0U, 1U}) {
    peer.send_state(Request::set_vring_enable, 0, on);
    peer.send_state(Request::set_vring_enable, 1, on);
    ASSERT_TRUE(peer.settle());
    EXPECT_EQ(device_.tx_queues().size(), on);
    EXPECT_EQ(vring(1)->enabled, on == 1);
  }
}

TEST_F(GoodSequence, that_kicks_before_addresses_and_memory_starts_the_ring_when_all_is_there) {
  peer.negotiate(kFeatures, Device::kProtocolFeatures);
  peer.send_u64(Request::set_vring_kick, 1, {kick.get()});
  peer.send_state(Request::set_vring_num, 1, 256);
  peer.send(Request::set_vring_addr, FrontEnd::ring_address(ram, 1));
  ASSERT_TRUE(peer.settle());
  EXPECT_EQ(vring(1), nullptr);
  peer.send_memory(ram);
  ASSERT_TRUE(peer.settle());
  EXPECT_NE(vring(1), nullptr);
}

TEST_F(GoodSequence, stops_and_resumes_any_ring_at_any_position) {
  std::mt19937 random(7);
  for (const bool packed : {false, true}) {
    start(packed ? kPacked : kFeatures, packed ? 0x8000 : 0);
    peer.get_vring_base(1);
    for (int i = 0; i < 50; ++i) {
      const auto half =
          static_cast<std::uint32_t>(packed ? (random() % 256) | (random() & 0x8000U) : random() & 0xffffU);
      const std::uint32_t base = packed ? half | half << 16U : half;
      used_word(1, 1) = static_cast<std::uint16_t>(base);
      peer.start_ring(ram, 1, 256, base, kick.get(), call.get());
      ASSERT_TRUE(peer.settle());
      ASSERT_NE(vring(1), nullptr);
      EXPECT_EQ(vring(1)->progress->position.next_avail, packed ? half & 0x7fffU : half);
      EXPECT_EQ(vring(1)->progress->position.next_used, packed ? half & 0x7fffU : half);
      if (packed) {
        EXPECT_EQ(vring(1)->progress->position.avail_wrap, half >> 15U);
      }
      EXPECT_EQ(peer.get_vring_base(1), base);
      EXPECT_EQ(vring(1), nullptr);
    }
    peer.get_vring_base(0);
  }
}

TEST_F(GoodSequence, of_virtio_user_after_the_switch_was_killed_goes_on_behind_what_was_used) {
  struct {
    std::uint16_t base, used, available, next_avail;
  } const cases[] = {{0, 44544, 44600, 44544},      // the front end does not know
                     {0, 65500, 65510, 65500},      // nor here: 0 is not available yet
                     {257, 0, 10, 0},               // no ring of 256 has 257 in flight
                     {44550, 44544, 44600, 44550},  // six are in flight
                     {5, 65530, 9, 5}};
  start(kFeatures, 0);
  for (const auto& c : cases) {
    peer.get_vring_base(1);
    used_word(1, 1) = c.used;
    avail_word(1, 1) = c.available;
    peer.start_ring(ram, 1, 256, c.base, kick.get(), call.get());
    ASSERT_TRUE(peer.settle());
    ASSERT_NE(vring(1), nullptr);
    EXPECT_EQ(vring(1)->progress->position.next_avail, c.next_avail);
    EXPECT_EQ(vring(1)->progress->position.next_used, c.used);
  }
}

TEST_F(GoodSequence, tells_a_driver_once_that_its_ring_was_taken_up_again_and_that_kicks_are_not_needed) {
  start(kFeatures, 0);
  EXPECT_EQ(used_word(1, 0), 1U) << "VIRTQ_USED_F_NO_NOTIFY";
  peer.get_vring_base(1);
  peer.send_u64(Request::set_vring_call, 1, {call.get()});
  ASSERT_TRUE(peer.settle());
  taken(call);
  used_word(1, 1) = 17;
  peer.send_state(Request::set_vring_base, 1, 17);
  peer.send_u64(Request::set_vring_kick, 1, {kick.get()});
  ASSERT_TRUE(peer.settle());
  EXPECT_EQ(taken(call), 1U);
}

TEST_F(GoodSequence, replaces_the_call_fd_of_a_running_ring_and_interrupts_once_through_the_new_one) {
  start(kFeatures);
  const Vring* const before = vring(0);
  const UniqueFd other = event();
  const Held held = Held::now();
  const unsigned waits = waits_;
  peer.send_u64(Request::set_vring_call, 0, {other.get()});
  ASSERT_TRUE(peer.settle());
  EXPECT_NE(vring(0), before);
  EXPECT_GT(waits_, waits);
  EXPECT_EQ(taken(other), 1U);
  EXPECT_EQ(Held::now(), held) << "the fd of before is closed";
  peer.send_u64(Request::set_vring_call, 0x100);
  ASSERT_TRUE(peer.settle());
  EXPECT_EQ(vring(0)->call_fd, -1);
}

TEST_F(GoodSequence, sends_the_memory_table_again_under_running_rings_and_keeps_what_stays) {
  start(kFeatures);
  const std::uint8_t* const host = device_.rings().memory()->entries()[0].host;
  GuestRam more(kRamSize, 1ULL << 32U, 0x7e0000000000);
  const Held held = Held::now();
  peer.send_memory({ram.region(), more.region()}, {ram.fd(), more.fd()}, kNeedReply);
  EXPECT_EQ(peer.receive(), 0U);
  EXPECT_EQ(device_.rings().memory()->entries()[0].host, host) << "the mapping that stays is the same";
  EXPECT_EQ(Held::now(), (Held{held.fds + 1, held.mappings + 1}));
  EXPECT_EQ(vring(0)->memory, device_.rings().memory().get());

  std::size_t mapped_while_waiting = 0;
  on_wait = [&] { mapped_while_waiting = Held::now().mappings; };
  peer.send_memory(ram);
  ASSERT_TRUE(peer.settle());
  EXPECT_EQ(mapped_while_waiting, held.mappings + 1) << "unmapped only after the PMDs have finished a loop";
  EXPECT_EQ(Held::now(), held);
  on_wait = nullptr;
}

TEST_F(GoodSequence, takes_away_the_memory_under_a_running_ring_and_brings_it_back) {
  start(kPacked, 0x8000);
  state_.progress[1].position.next_used = state_.progress[1].position.next_avail = 42;  // as a PMD would
  const ports::vhost::SingleRegion region{0, ram.region()};
  peer.send(Request::rem_mem_reg, region, {}, kNeedReply);
  EXPECT_EQ(peer.receive(), 0U);
  EXPECT_EQ(vring(1), nullptr);
  EXPECT_EQ(device_.rx_queues().size(), 1U) << "the ring is not stopped";
  peer.send(Request::rem_mem_reg, region, {ram.fd()}, kNeedReply);  // once more, for the second queue pair
  EXPECT_EQ(peer.receive(), 0U);
  peer.send(Request::add_mem_reg, region, {ram.fd()}, kNeedReply);
  EXPECT_EQ(peer.receive(), 0U);
  ASSERT_NE(vring(1), nullptr);
  EXPECT_EQ(vring(1)->progress->position.next_used, 42U);
  EXPECT_EQ(peer.get_vring_base(1), 0x802a802aU);
}

TEST_F(GoodSequence, plugs_and_unplugs_a_hundred_regions_under_running_rings) {
  start(kFeatures);
  const Held before = Held::now();
  {
    GuestRam sticks(kRamSize);
    for (std::uint64_t i = 0; i < 100; ++i) {
      const MemoryRegion region{(i + 1) << 32U, 8192, 0x600000000000 + (i << 32U), i * 8192};
      peer.send(Request::add_mem_reg, ports::vhost::SingleRegion{0, region}, {sticks.fd()}, kNeedReply);
      EXPECT_EQ(peer.receive(), 0U);
      ports::vhost::Window hint;
      std::uint8_t* const found = device_.rings().memory()->translate(region.guest_phys_addr + 8191, 1, hint);
      ASSERT_NE(found, nullptr);
      *found = static_cast<std::uint8_t>(i);
      EXPECT_EQ(sticks.data()[i * 8192 + 8191], i);
      EXPECT_EQ(device_.rings().memory()->translate(region.guest_phys_addr + 8191, 2, hint), nullptr);
    }
    EXPECT_EQ(device_.rings().memory()->entries().size(), 101U);
    for (std::uint64_t i = 0; i < 100; ++i) {
      const MemoryRegion region{(i + 1) << 32U, 8192, 0x600000000000 + (i << 32U), 0};
      peer.send(Request::rem_mem_reg, ports::vhost::SingleRegion{0, region}, {}, kNeedReply);
      EXPECT_EQ(peer.receive(), 0U);
    }
  }
  EXPECT_EQ(Held::now(), before);
  EXPECT_NE(vring(0), nullptr);
}

TEST_F(GoodSequence, switches_the_dirty_log_on_and_off_under_running_rings) {
  start(kFeatures);
  GuestRam log(65536);
  peer.send(Request::set_log_base, ports::vhost::LogDescription{4096, 8192}, {log.fd()});
  EXPECT_EQ(peer.receive(), 0U) << "SET_LOG_BASE has a reply of its own";
  EXPECT_EQ(vring(1)->log, nullptr) << "not before LOG_ALL";
  peer.send_u64(Request::set_features, kFeatures | feature::kLogAll);
  auto address = FrontEnd::ring_address(ram, 1);
  address.flags = 1;
  address.log = 5 * 4096;
  peer.send(Request::set_vring_addr, address);
  ASSERT_TRUE(peer.settle());
  ASSERT_NE(vring(1)->log, nullptr);
  EXPECT_TRUE(vring(1)->log_used);
  vring(1)->log->mark(vring(1)->log_used_addr, 1);
  vring(1)->log->mark(4096 * 8 * 4096ULL - 1, 2);  // the log's last page, and one beyond
  EXPECT_EQ(log.data()[8192], 1U << 5U);
  EXPECT_EQ(log.data()[8192 + 4095], 0x80U);
  EXPECT_EQ(log.data()[8192 + 4096], 0U);
  peer.send_u64(Request::set_features, kFeatures);
  ASSERT_TRUE(peer.settle());
  EXPECT_EQ(vring(1)->log, nullptr);
  EXPECT_FALSE(vring(1)->log_used);
}

TEST_F(GoodSequence, logs_that_it_wishes_for_no_kicks_when_a_ring_starts_while_the_log_is_on) {
  for (const bool packed : {false, true}) {
    GuestRam log(65536);
    start(packed ? kPacked : kFeatures, packed ? 0x8000 : 0);
    peer.send(Request::set_log_base, ports::vhost::LogDescription{4096, 0}, {log.fd()});
    EXPECT_EQ(peer.receive(), 0U);
    peer.send_u64(Request::set_features, (packed ? kPacked : kFeatures) | feature::kLogAll);
    peer.get_vring_base(1);
    peer.start_ring(ram, 1, 256, packed ? 0x8000 : 0, kick.get(), call.get());
    auto address = FrontEnd::ring_address(ram, 1);
    address.flags = 1;
    address.log = 9 * 4096;
    peer.get_vring_base(1);
    peer.send(Request::set_vring_addr, address);
    peer.send_u64(Request::set_vring_kick, 1, {kick.get()});
    ASSERT_TRUE(peer.settle());
    ASSERT_NE(vring(1), nullptr);
    EXPECT_EQ(log.data()[1], 1U << 1U) << (packed ? "packed" : "split");
    peer.get_vring_base(0);
    peer.get_vring_base(1);
  }
}

TEST_F(GoodSequence, announces_the_mac_of_a_guest_that_has_moved_here) {
  peer.negotiate(kFeatures, Device::kProtocolFeatures);
  peer.send_u64(Request::send_rarp, 0x060504030252);
  ASSERT_TRUE(peer.settle());
  EXPECT_EQ(announced_, (std::vector<std::uint8_t>{0x52, 2, 3, 4, 5, 6}));
}

TEST_F(GoodSequence, is_told_whether_its_mtu_can_be) {
  peer.negotiate(kFeatures, Device::kProtocolFeatures);
  const std::pair<std::uint64_t, std::uint64_t> answers[] = {{67, 1}, {68, 0}, {9000, 0}, {9001, 1}, {1ULL << 40U, 1}};
  for (const auto& [mtu, answer] : answers) {
    peer.send(Request::net_set_mtu, mtu, {}, kNeedReply);
    EXPECT_EQ(peer.receive(), answer) << mtu;
  }
  EXPECT_EQ(state_.mtu, 9000U);
}

TEST_F(GoodSequence, is_acknowledged_only_where_it_asks_and_has_negotiated_it) {
  peer.send(Request::set_owner);
  peer.send(static_cast<std::uint32_t>(Request::set_owner), {}, {}, kNeedReply);  // REPLY_ACK not negotiated
  EXPECT_EQ(peer.ask(Request::get_queue_num), 2U) << "the first reply that comes is the one to this";
  peer.send_u64(Request::set_protocol_features, Device::kProtocolFeatures);
  peer.send(static_cast<std::uint32_t>(Request::set_owner), {}, {}, kNeedReply);
  EXPECT_EQ(peer.receive(), 0U);
  EXPECT_EQ(peer.last_header().request, 3U);
  EXPECT_EQ(peer.last_header().flags, 5U);
  peer.send(static_cast<std::uint32_t>(Request::get_queue_num), {}, {}, kNeedReply);
  EXPECT_EQ(peer.receive(), 2U) << "one reply, not two";
  EXPECT_EQ(peer.ask(Request::get_queue_num), 2U);
  peer.send(Request::set_vring_num, ports::vhost::VringState{0, 3}, {}, kNeedReply);
  EXPECT_EQ(peer.receive(), 1U) << "told before it is closed";
  EXPECT_TRUE(eventually([&] { return !ended_.empty(); }));
  ended_.clear();
}

TEST_F(GoodSequence, resets_its_owner_and_finds_rings_disabled_and_not_stopped) {
  start(kFeatures);
  peer.send(Request::reset_owner);
  ASSERT_TRUE(peer.settle());
  EXPECT_TRUE(device_.tx_queues().empty());
  EXPECT_EQ(device_.rx_queues().size(), 1U);
}

TEST_F(GoodSequence, calls_queues_changed_only_when_the_lists_change) {
  start(kFeatures);
  const unsigned changes = changes_;
  peer.send_memory(ram);
  peer.send_u64(Request::set_vring_call, 0, {call.get()});
  peer.send_state(Request::set_vring_enable, 0, 1);
  ASSERT_TRUE(peer.settle());
  EXPECT_EQ(changes_, changes);
  peer.get_vring_base(0);
  EXPECT_EQ(changes_, changes + 1);
  device_.reset();
  EXPECT_EQ(changes_, changes + 2);
}

}  // namespace
}  // namespace sluice::test
