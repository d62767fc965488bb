// A front end that holds a PMD up in a write to its call eventfd loses its connection, and may not come back at once.
#include <fcntl.h>
#include <pthread.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <csignal>
#include <thread>

#include "bench.hpp"
#include "kept_estate.hpp"
#include "ports/vhost/hold_off.hpp"
#include "ports/vhost/notify.hpp"

namespace sluice::test {
namespace {

using namespace std::chrono_literals;
using ports::vhost::HoldOff;
using ports::vhost::SocketMode;
using ports::vhost::VhostQueue;
using ports::vhost::Vring;
namespace feature = ports::vhost::feature;
constexpr std::uint64_t kFeatures = feature::kProtocolFeatures | feature::kVersion1;

void make_blocking_and_full(const UniqueFd& eventfd) {
  const std::uint64_t one_less_than_full = ~std::uint64_t{0} - 1;
  std::uint64_t count = 0;
  ::fcntl(eventfd.get(), F_SETFL, O_NONBLOCK);
  [[maybe_unused]] ssize_t n = ::read(eventfd.get(), &count, sizeof count);
  n = ::write(eventfd.get(), &one_less_than_full, sizeof one_less_than_full);
  ASSERT_EQ(::fcntl(eventfd.get(), F_SETFL, 0), 0);
}

class HeldUp : public Bench {
 protected:
  /// Attaches a guest whose driver has put one frame into its transmit ring.
  void attach(FrontEnd& peer) {
    std::memset(ram_.data(), 0, 0x40000);
    peer.negotiate(kFeatures, 0);
    peer.send_memory(ram_);
    peer.start_ring(ram_, 1, 256, 0, kick_.get(), call_.get());
    peer.send_state(Request::set_vring_enable, 1, 1);
    ASSERT_TRUE(peer.settle());
    namespace split = ports::vhost::split;
    const auto address = FrontEnd::ring_address(ram_, 1);
    const split::Desc desc{0x30000, 72, 0, 0};
    std::memcpy(at(address.descriptor), &desc, sizeof desc);
    reinterpret_cast<split::RingHeader*>(at(address.available))->idx = 1;
  }
  [[nodiscard]] std::uint8_t* at(std::uint64_t user) const { return ram_.data() + (user - ram_.user()); }
  /// The PMD has given the frame back, and is about to say so, if it has not begun to.
  [[nodiscard]] bool given_back() const {
    auto& used = reinterpret_cast<ports::vhost::split::RingHeader*>(at(FrontEnd::ring_address(ram_, 1).used))->idx;
    return std::atomic_ref(used).load() == 1;
  }
  /// A PMD works the port's ring, and waits there until it is interrupted.
  static void work_until_interrupted(Port& port) {
    std::atomic<bool> done{false};
    std::thread pmd = work(port, done);
    interrupt(pmd, done);
  }
  static std::thread work(Port& port, std::atomic<bool>& done) {
    return std::thread([queue = port.rx_queues().at(0), &done] {
      const auto burst = std::make_unique<ports::Burst>();
      ports::PortCounters counters;
      queue.receive(*burst, counters);
      EXPECT_EQ(burst->count, 1U);
      ports::Notifier notifier;
      queue.release(*burst, notifier);
      notifier.notify();
      done = true;
    });
  }
  static void interrupt(std::thread& pmd, const std::atomic<bool>& done) {
    struct sigaction action = {};
    action.sa_handler = [](int) {};
    ::sigaction(SIGURG, &action, nullptr);
    while (!done) {
      ::pthread_kill(pmd.native_handle(), SIGURG);
      std::this_thread::sleep_for(1ms);
    }
    pmd.join();
  }
  [[nodiscard]] bool waits_for_seconds(const Port& port, const std::string& seconds) const {
    return port.status().state == "held off" && last_error().ends_with("for " + seconds + " s; connection closed");
  }
  [[nodiscard]] std::string last_error() const { return errors_.empty() ? "-" : errors_.back(); }

  GuestRam ram_{1U << 20U};
  const UniqueFd kick_ = event();
  const UniqueFd call_ = event();
};

TEST_F(HeldUp, a_server_closes_the_connection_and_turns_everybody_away_for_longer_each_time) {
  const auto port = server("s");
  const Held before = Held::now();
  for (const std::string seconds : {"1", "2"}) {
    FrontEnd peer = connect("s");
    while (!peer.settle()) peer = connect("s");
    attach(peer);
    make_blocking_and_full(call_);
    work_until_interrupted(*port);
    EXPECT_TRUE(peer.wait_until_closed());
    EXPECT_TRUE(waits_for_seconds(*port, seconds)) << last_error();
    FrontEnd next = connect("s");
    EXPECT_TRUE(next.wait_until_closed()) << "it is too early";
    EXPECT_EQ(port->status().state, "held off");
  }
  EXPECT_EQ(errors_.size(), 2U) << "one line each";
  EXPECT_EQ(Held::now(), before);
}

TEST_F(HeldUp, a_peer_that_is_gone_before_it_was_noticed_is_held_off_as_well) {
  const auto port = server("s");
  FrontEnd peer = connect("s");
  attach(peer);
  make_blocking_and_full(call_);
  std::atomic<bool> done{false};
  std::thread pmd = work(*port, done);
  on_wait = [&] {
    if (pmd.joinable()) interrupt(pmd, done);
  };
  while (!given_back()) std::this_thread::yield();
  peer.close();
  ASSERT_TRUE(eventually([&] { return port->status().state != "connected"; }));
  EXPECT_TRUE(waits_for_seconds(*port, "1"));
  on_wait = nullptr;
}

TEST_F(HeldUp, a_client_does_not_connect_again_before_the_time_is_over) {
  const auto o = options("c", SocketMode::client);
  const auto listen = [&] {
    UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    o.path.copy(address.sun_path, sizeof address.sun_path - 1);
    EXPECT_EQ(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(::listen(fd.get(), 8), 0);
    return fd;
  };
  UniqueFd listener = listen();
  const auto accept = [&] {
    UniqueFd socket;
    EXPECT_TRUE(eventually([&] {
      socket = UniqueFd(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
      return static_cast<bool>(socket);
    }));
    return socket;
  };
  const auto port = make(o);
  FrontEnd peer(accept(), pump());
  attach(peer);
  make_blocking_and_full(call_);
  work_until_interrupted(*port);
  EXPECT_TRUE(peer.wait_until_closed());
  const auto closed = std::chrono::steady_clock::now();
  EXPECT_TRUE(waits_for_seconds(*port, "1")) << last_error();
  std::filesystem::remove(o.path);
  listener = listen();  // the watch sees it come back
  FrontEnd again(accept(), pump());
  EXPECT_GE(std::chrono::steady_clock::now() - closed, 900ms);
  EXPECT_TRUE(again.settle());
}

TEST_F(HeldUp, the_control_thread_itself_is_held_up_but_shortly) {
  const auto port = server("s");
  FrontEnd peer = connect("s");
  attach(peer);
  make_blocking_and_full(call_);
  // A race that a peer can win: its eventfd is made blocking again between the check and the write.
  VhostQueue queue;
  const UniqueFd alarm(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  queue.alarm = alarm.get();
  Vring vring;
  vring.call_fd = call_.get();
  ports::vhost::kick(queue, vring);
  EXPECT_TRUE(queue.held_up);
  std::uint64_t count = 0;
  EXPECT_EQ(::read(alarm.get(), &count, sizeof count), 8);
}

/// A guest with four rings, whose process was followed by nobody yet.
class HeldUpTakeover : public HeldUp {
 protected:
  HeldUpTakeover() {
    std::ranges::generate(calls_, event);
    const auto before = prepare();
    before->activate();
    peer_.emplace(connect("s"));
    peer_->negotiate(kFeatures, 0);
    peer_->send_memory(ram_);
    for (unsigned i = 0; i < calls_.size(); ++i) peer_->start_ring(ram_, i, 256, 0, kick_.get(), calls_[i].get());
    EXPECT_TRUE(peer_->settle());
    before->leave();
  }
  std::unique_ptr<Port> prepare() {
    auto port = Port::prepare(options("s", SocketMode::server), host_, estate_);
    EXPECT_TRUE(port) << port.error();
    return std::move(*port);
  }

  KeptEstate estate_;
  std::array<UniqueFd, 4> calls_;
  std::optional<FrontEnd> peer_;
};

TEST_F(HeldUpTakeover, waits_for_one_ring_of_all_that_a_guest_has_and_only_when_they_are_polled) {
  const UniqueFd alarm(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  ports::vhost::Device next({.queue_pairs = 2, .alarm_eventfd = alarm.get()}, {[] {}, {}, {}, {}}, estate_);
  ASSERT_TRUE(next.prepare());
  for (const UniqueFd& call : calls_) make_blocking_and_full(call);
  std::uint64_t times = 0;
  ASSERT_TRUE(next.take_over());
  EXPECT_EQ(next.rx_queues().size(), 2U);
  EXPECT_LT(::read(alarm.get(), &times, sizeof times), 0) << "not before";
  next.interrupt_resumed();
  ASSERT_EQ(::read(alarm.get(), &times, sizeof times), 8);
  EXPECT_EQ(times, 1U);
}

TEST_F(HeldUpTakeover, handles_no_message_more_of_a_guest_that_made_one_wait) {
  for (unsigned i = 0; i < 8; ++i) peer_->send_u64(Request::set_vring_call, i % 4, {call_.get()});
  const auto next = prepare();
  on_wait = [this] { make_blocking_and_full(call_); };  // between the check and the write
  waits_ = 0;
  next->activate();
  EXPECT_EQ(waits_, 2U) << "a message, and the end of the connection";
  EXPECT_TRUE(waits_for_seconds(*next, "1")) << last_error();
  next->wake_guest();
  EXPECT_TRUE(peer_->wait_until_closed());
}

TEST_F(HeldUpTakeover, interrupts_the_driver_of_each_ring_once) {
  const auto next = prepare();
  for (const UniqueFd& call : calls_) {
    std::uint64_t count = 0;
    [[maybe_unused]] const ssize_t n = ::read(call.get(), &count, sizeof count);
  }
  next->activate();
  for (unsigned i = 0; i < 2; ++i) next->wake_guest();
  for (const UniqueFd& call : calls_) {
    std::uint64_t count = 0;
    EXPECT_EQ(::read(call.get(), &count, sizeof count), 8);
    EXPECT_EQ(count, 1U);
  }
}

TEST(HoldOffTimes, double_up_to_a_minute_and_start_again_after_a_quiet_while) {
  HoldOff hold_off;
  HoldOff::TimePoint now(1h);
  EXPECT_LE(hold_off.left(now).count(), 0);
  for (const auto expected : {1s, 2s, 4s, 8s, 16s, 32s, 60s, 60s}) {
    EXPECT_EQ(hold_off.begin(now), expected);
    EXPECT_EQ(hold_off.left(now), expected);
    now += expected;
    EXPECT_EQ(hold_off.left(now), 0s);
    now += HoldOff::kQuiet - 1s;
  }
  now += 1s;
  EXPECT_EQ(hold_off.begin(now), 1s);
}

}  // namespace
}  // namespace sluice::test
