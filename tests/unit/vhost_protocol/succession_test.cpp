// What a port that follows another makes of what that one, killed at some instant, has left: undone, or not at all.
#include "bench.hpp"
#include "kept_estate.hpp"
#include "ports/vhost/device.hpp"

namespace sluice::test {
namespace {

namespace feature = ports::vhost::feature;
using ports::vhost::Heirloom;
using ports::vhost::VringState;
constexpr std::uint32_t kNeedReply = ports::vhost::kVersion | ports::vhost::kNeedReplyFlag;
constexpr std::uint64_t kFeatures = feature::kProtocolFeatures | feature::kVersion1;

class Succession : public Bench {
 protected:
  std::unique_ptr<Port> prepare(KeptEstate& estate) {
    auto port = Port::prepare(options("s", ports::vhost::SocketMode::server), host_, estate);
    EXPECT_TRUE(port) << port.error();
    return std::move(*port);
  }

  FrontEnd with_one_ring() {
    FrontEnd front = connect("s");
    front.negotiate(kFeatures, ports::vhost::Device::kProtocolFeatures);
    front.send_memory(ram_);
    front.start_ring(ram_, 1, 256, 0, event_.get(), event_.get());
    return front;
  }

  /// A front end with one ring, which has all descriptors that there are. Nobody serves it any more.
  FrontEnd left_behind(KeptEstate& estate) {
    const auto before = prepare(estate);
    before->activate();
    FrontEnd front = with_one_ring();
    front.send_u64(Request::set_vring_err, 1, {event_.get()});
    EXPECT_TRUE(front.settle());
    before->leave();  // as good as killed
    return front;
  }

  GuestRam ram_{1U << 20U};
  const UniqueFd event_ = event();
};

TEST_F(Succession, a_connection_of_which_an_eventfd_was_lost_is_closed_and_the_log_says_why) {
  for (const auto& [kind, name] : {std::pair(Heirloom::call, "call"), std::pair(Heirloom::err, "error")}) {
    KeptEstate estate;
    FrontEnd peer = left_behind(estate);
    estate.forget(kind, 1);
    const auto next = prepare(estate);
    next->activate();
    EXPECT_TRUE(peer.wait_until_closed());
    ASSERT_FALSE(errors_.empty());
    EXPECT_TRUE(
        errors_.back().ends_with(std::string("ring 1: its ") + name + " eventfd was not kept; connection closed"))
        << errors_.back();
  }
}

TEST_F(Succession, who_could_not_take_up_the_vm_that_another_serves_says_so_before_it_begins) {
  KeptEstate estate;
  auto wanted = options("s", ports::vhost::SocketMode::server);
  wanted.queue_pairs = 2;
  auto before = std::move(*Port::prepare(wanted, host_, estate));
  before->activate();
  FrontEnd peer = with_one_ring();
  peer.start_ring(ram_, 2, 256, 0, event_.get(), event_.get());
  EXPECT_TRUE(peer.settle());

  wanted.queue_pairs = 1;
  wanted.has_time = true;
  const auto next = Port::prepare(wanted, host_, estate);
  ASSERT_FALSE(next);
  EXPECT_EQ(
      next.error(),
      "port 's': the VM that is connected cannot be taken up: ring 2: it runs, but the port has 2 rings now; end it "
      "or let the port be as it is");
  wanted.has_to_go_on = true;
  EXPECT_TRUE(Port::prepare(wanted, host_, estate));
  before->leave();
  wanted.has_time = wanted.has_to_go_on = false;
  EXPECT_TRUE(Port::prepare(wanted, host_, estate)) << "nobody serves it";
}

TEST_F(Succession, one_that_stands_by_follows_what_becomes_of_the_vm_and_holds_no_memory_of_one_that_is_gone) {
  KeptEstate estate;
  const auto before = prepare(estate);
  before->activate();
  const auto next = prepare(estate);
  const auto mappings = [] { return Held::now().mappings; };
  ASSERT_EQ(mappings(), 1U) << "the VM's own";
  {
    FrontEnd peer = with_one_ring();
    EXPECT_TRUE(peer.settle());
    EXPECT_EQ(mappings(), 2U);
    next->prepare_again();
    EXPECT_EQ(mappings(), 3U);
    next->prepare_again();
    EXPECT_EQ(mappings(), 3U);
  }
  ASSERT_TRUE(eventually([&] { return mappings() == 2U; })) << "the one that serves it has noticed";
  next->prepare_again();
  EXPECT_EQ(mappings(), 1U);

  FrontEnd another = with_one_ring();
  EXPECT_TRUE(another.settle());
  next->prepare_again();
  before->leave();
  next->activate();
  EXPECT_TRUE(another.settle());
  EXPECT_TRUE(errors_.empty()) << errors_.back();
}

TEST_F(Succession, one_that_stands_by_follows_also_when_the_one_that_works_followed_one_killed_in_a_message) {
  KeptEstate estate;
  std::optional<FrontEnd> peer(left_behind(estate));
  ++estate.state().generation;
  const auto before = prepare(estate);
  before->activate();
  EXPECT_TRUE(peer->settle());
  const auto next = prepare(estate);
  const auto mappings = [] { return Held::now().mappings; };
  ASSERT_EQ(mappings(), 3U) << "the VM's own, and one each";
  peer.reset();
  ASSERT_TRUE(eventually([&] { return mappings() == 2U; })) << "the one that serves it has noticed";
  next->prepare_again();
  EXPECT_EQ(mappings(), 1U);
  before->leave();
}

TEST_F(Succession, a_ring_whose_memory_came_back_goes_on_where_one_that_died_before_that_was_true_has_left_it) {
  KeptEstate estate;
  FrontEnd peer = left_behind(estate);
  const ports::vhost::SingleRegion region{0, ram_.region()};
  const auto as_killed = std::make_unique<ports::vhost::PortState>();
  {
    const auto before = prepare(estate);
    before->activate();
    peer.send(Request::rem_mem_reg, region, {}, kNeedReply);
    EXPECT_EQ(peer.receive(), 0U);
    *as_killed = estate.state();
    peer.send(Request::add_mem_reg, region, {ram_.fd()}, kNeedReply);
    EXPECT_EQ(peer.receive(), 0U);
    before->leave();
  }
  // It has shown a frame to the driver, not yet noted that, and the table of regions was about to be changed.
  estate.state() = *as_killed;
  const auto used = FrontEnd::ring_address(ram_, 1).used - ram_.user();
  reinterpret_cast<std::uint16_t*>(ram_.data() + used)[1] = 1;
  const auto next = prepare(estate);
  next->activate();
  peer.send(Request::add_mem_reg, region, {ram_.fd()}, kNeedReply);  // as if it were in the socket still
  EXPECT_EQ(peer.receive(), 0U);
  EXPECT_EQ(estate.state().progress[1].position.next_used, 1U);
  EXPECT_EQ(estate.state().progress[1].position.next_avail, 1U);
  EXPECT_TRUE(errors_.empty()) << errors_.back();
}

TEST_F(Succession, the_message_that_started_a_ring_may_be_handled_again) {
  KeptEstate estate;
  FrontEnd peer = left_behind(estate);
  const auto next = prepare(estate);
  next->activate();
  peer.send(Request::set_vring_num, VringState{1, 256}, {}, kNeedReply);
  EXPECT_EQ(peer.receive(), 0U);
  peer.send(Request::set_vring_base, VringState{1, 0}, {}, kNeedReply);
  EXPECT_EQ(peer.receive(), 0U);
  EXPECT_TRUE(errors_.empty()) << errors_.back();
}

TEST_F(Succession, a_ring_without_eventfds_goes_on_without) {
  KeptEstate estate;
  FrontEnd peer = left_behind(estate);
  {
    const auto before = prepare(estate);
    before->activate();
    for (const auto request : {Request::set_vring_call, Request::set_vring_err}) {
      peer.send_u64(request, 1 | ports::vhost::kVringNoFdFlag);
    }
    EXPECT_TRUE(peer.settle());
    before->leave();
  }
  EXPECT_FALSE(estate.take(Heirloom::call, 1));
  const auto next = prepare(estate);
  next->activate();
  EXPECT_TRUE(peer.settle());
  EXPECT_TRUE(errors_.empty()) << errors_.back();
}

TEST_F(Succession, an_eventfd_that_was_on_its_way_when_the_next_prepared_itself_is_there_when_it_takes_over) {
  KeptEstate estate;
  FrontEnd peer = left_behind(estate);
  const UniqueFd call = estate.take(Heirloom::call, 1);
  estate.forget(Heirloom::call, 1);
  const auto next = prepare(estate);
  estate.keep(Heirloom::call, 1, call.get());
  next->activate();
  EXPECT_TRUE(peer.settle());
  EXPECT_TRUE(errors_.empty()) << errors_.back();
}

TEST_F(Succession, a_used_index_is_in_the_dirty_log_if_the_one_before_died_between_its_store_and_its_mark) {
  KeptEstate estate;
  GuestRam log(4096);
  auto address = FrontEnd::ring_address(ram_, 1);
  address.flags = 1;
  address.log = 9 * 4096;
  const FrontEnd peer = [&] {
    const auto before = prepare(estate);
    before->activate();
    FrontEnd front = with_one_ring();
    front.send(Request::set_log_base, ports::vhost::LogDescription{4096, 0}, {log.fd()});
    EXPECT_EQ(front.receive(), 0U);
    front.send_u64(Request::set_features, kFeatures | feature::kLogAll);
    front.send(Request::set_vring_addr, address);
    EXPECT_TRUE(front.settle());
    before->leave();  // as good as killed
    return front;
  }();
  reinterpret_cast<std::uint16_t*>(ram_.data() + (address.used - ram_.user()))[1] = 1;
  log.data()[1] = 0;
  const auto next = prepare(estate);
  next->activate();
  EXPECT_EQ(estate.state().progress[1].position.next_used, 1U);
  EXPECT_EQ(log.data()[1], 1U << 1U);
}

TEST_F(Succession, there_is_a_log_at_each_instant_of_a_change_of_logs) {
  KeptEstate estate;
  FrontEnd peer = left_behind(estate);
  {
    const auto port = prepare(estate);
    port->activate();
    peer.send_u64(Request::set_features, kFeatures | feature::kLogAll);
    unsigned looks = 0;
    for (unsigned i = 0; i < 3; ++i) {
      GuestRam log(4096 * (i + 1));
      peer.send(Request::set_log_base, ports::vhost::LogDescription{4096 * (i + 1), 0}, {log.fd()});
      EXPECT_EQ(peer.receive(), 0U);
      estate.on_change = [&] {  // as of the second
        ++looks;
        ports::vhost::Device next({.queue_pairs = 2}, {[] {}, {}, {}, {}}, estate);
        EXPECT_TRUE(next.prepare());
        EXPECT_NE(next.rings().log(), nullptr);
      };
    }
    EXPECT_EQ(looks, 8U) << "two changes of what is kept, twice";
    estate.on_change = [] {};
    port->leave();
  }
  const auto is_kept = [&](unsigned slot) { return static_cast<bool>(estate.take(Heirloom::dirty_log, slot)); };
  ASSERT_TRUE(is_kept(0));
  EXPECT_FALSE(is_kept(1));
  estate.keep(Heirloom::dirty_log, 1, ram_.fd());  // of a change that was cut short
  {
    const auto next = prepare(estate);
    next->activate();
    EXPECT_TRUE(peer.settle());
    EXPECT_TRUE(is_kept(0));
    EXPECT_FALSE(is_kept(1));
  }
  EXPECT_FALSE(is_kept(0)) << "it has ended in order";
  EXPECT_TRUE(errors_.empty()) << errors_.back();
}

TEST_F(Succession, a_connection_of_whose_message_each_process_dies_is_closed_by_the_fourth) {
  KeptEstate estate;
  FrontEnd peer = left_behind(estate);
  for (unsigned died = 1; died <= ports::vhost::Attempt::kMost; ++died) {
    std::optional<ports::vhost::PortState> left;
    peer.send_u64(Request::set_vring_call, 1, {event_.get()});  // as if it were in the socket still
    const auto port = prepare(estate);
    estate.on_change = [&] {
      if (!left) left = estate.state();
    };
    port->activate();
    EXPECT_TRUE(peer.settle());
    estate.on_change = [] {};
    port->leave();
    ASSERT_TRUE(left);
    EXPECT_EQ(left->attempts, died);
    EXPECT_EQ(estate.state().attempts, 0U) << "it has not died";
    estate.state() = *left;  // it has died
  }
  EXPECT_TRUE(errors_.empty()) << errors_.back();
  const auto next = prepare(estate);
  next->activate();
  EXPECT_TRUE(peer.wait_until_closed());
  ASSERT_FALSE(errors_.empty());
  EXPECT_TRUE(
      errors_.back().ends_with("the last 3 processes ended while they did the same of what it wants; "
                               "connection closed"))
      << errors_.back();
  EXPECT_EQ(estate.state().attempts, 0U);
}

TEST_F(Succession, one_that_prepared_itself_before_two_died_of_a_message_goes_on_and_counts_anew) {
  KeptEstate estate;
  FrontEnd peer = left_behind(estate);
  const auto next = prepare(estate);
  estate.state().attempts = ports::vhost::Attempt::kMost - 1;
  estate.state().generation += 2;
  next->activate();
  EXPECT_EQ(estate.state().attempts, 0U);
  EXPECT_TRUE(peer.settle());
  EXPECT_TRUE(errors_.empty()) << errors_.back();
}

TEST_F(Succession, a_connection_whose_dirty_log_was_lost_is_closed_and_the_log_says_why) {
  KeptEstate estate;
  FrontEnd peer = left_behind(estate);
  {
    const auto port = prepare(estate);
    port->activate();
    GuestRam log(4096);
    peer.send(Request::set_log_base, ports::vhost::LogDescription{4096, 0}, {log.fd()});
    EXPECT_EQ(peer.receive(), 0U);
    port->leave();
  }
  estate.forget(Heirloom::dirty_log, 0);
  const auto next = prepare(estate);
  next->activate();
  EXPECT_TRUE(peer.wait_until_closed());
  ASSERT_FALSE(errors_.empty());
  EXPECT_TRUE(errors_.back().ends_with("the descriptor of the dirty log was not kept; connection closed"));
}

}  // namespace
}  // namespace sluice::test
