// Ports by their sockets: client and server mode, and memory that is cut off.
#include <sys/stat.h>

#include <atomic>
#include <thread>

#include "bench.hpp"
#include "ports/vhost/sigbus_guard.hpp"

namespace sluice::test {
namespace {

using ports::vhost::SocketMode;
namespace feature = ports::vhost::feature;
constexpr std::uint64_t kFeatures = feature::kProtocolFeatures | feature::kVersion1;

/// A front end that listens.
UniqueFd listen_at(const std::string& path) {
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  EXPECT_EQ(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0) << path;
  EXPECT_EQ(::listen(fd.get(), 8), 0);
  return fd;
}

class Client : public Bench {
 protected:
  UniqueFd accept(const UniqueFd& listener) {
    UniqueFd socket;
    EXPECT_TRUE(eventually([&] {
      socket = UniqueFd(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
      return static_cast<bool>(socket);
    }));
    return socket;
  }
};

TEST_F(Client, connects_when_its_socket_appears_wherever_in_the_path_it_was_missing) {
  const Held before = Held::now();
  {
    auto o = options("c", SocketMode::client);
    o.path = path("a/b/c.sock");
    const auto port = make(o);
    loop_.run_once(std::chrono::milliseconds(10));
    EXPECT_EQ(port->status().state, "connecting");
    std::filesystem::create_directories(path("a/b"));
    const UniqueFd listener = listen_at(o.path);
    FrontEnd peer(accept(listener), pump());
    EXPECT_TRUE(peer.settle());
    EXPECT_EQ(port->status().state, "connected");
  }
  EXPECT_EQ(Held::now(), before);
}

TEST_F(Client, is_back_after_its_front_end_was_away) {
  const auto o = options("c", SocketMode::client);
  const auto port = make(o);
  for (int i = 0; i < 10; ++i) {
    const UniqueFd listener = listen_at(o.path);
    FrontEnd peer(accept(listener), pump());
    EXPECT_TRUE(peer.settle());
    std::filesystem::remove(o.path);
  }
  EXPECT_TRUE(errors_.empty());
}

TEST_F(Client, comes_by_the_watch_and_not_by_the_timer) {
  const auto o = options("c", SocketMode::client);
  const auto port = make(o);
  // The quick attempts are used up; the slow timer is 100 ms.
  const auto later = std::chrono::steady_clock::now() + std::chrono::milliseconds(150);
  while (std::chrono::steady_clock::now() < later) loop_.run_once(std::chrono::milliseconds(10));
  unsigned rounds = 0;
  const UniqueFd listener = listen_at(o.path);
  while (port->status().state != "connected" && rounds < 2) {
    loop_.run_once(std::chrono::milliseconds(0));
    ++rounds;
  }
  EXPECT_EQ(port->status().state, "connected") << "without any time passing";
}

TEST_F(Client, waits_for_somebody_to_listen_on_a_socket_that_is_there) {
  const auto o = options("c", SocketMode::client);
  { const UniqueFd stale = listen_at(o.path); }
  const auto port = make(o);
  loop_.run_once(std::chrono::milliseconds(10));
  EXPECT_EQ(port->status().state, "connecting");
  std::filesystem::remove(o.path);
  const UniqueFd listener = listen_at(o.path);
  FrontEnd peer(accept(listener), pump());
  EXPECT_TRUE(peer.settle());
}

using Server = Bench;

TEST_F(Server, makes_its_socket_for_owner_and_group_and_removes_it) {
  const auto o = options("s", SocketMode::server);
  {
    const auto port = make(o);
    struct stat info {};
    ASSERT_EQ(::stat(o.path.c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 07777U, 0660U);
  }
  EXPECT_FALSE(std::filesystem::exists(o.path));
}

TEST_F(Server, takes_the_place_of_a_dead_socket_but_of_nothing_else) {
  const auto o = options("s", SocketMode::server);
  { const UniqueFd stale = listen_at(o.path); }
  const auto port = make(o);
  ASSERT_NE(port, nullptr);
  const auto second = Port::create(o, host_);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error(), "port 's': path '" + o.path + "': another program listens there");
  auto file = o;
  file.path = path("file");
  std::ofstream(file.path) << "x";
  const auto third = Port::create(file, host_);
  ASSERT_FALSE(third);
  EXPECT_EQ(third.error(), "port 's': path '" + file.path + "': a file that is not a socket is there");
  EXPECT_TRUE(std::filesystem::exists(file.path));
}

TEST_F(Server, that_cannot_be_says_what_would_be_right) {
  auto o = options("s", SocketMode::server);
  o.path = std::string(112, 'x');
  EXPECT_EQ(Port::create(o, host_).error(),
            "port 's': path '" + o.path + "' is 112 bytes long, a UNIX socket path holds 107");
  o = options("s", SocketMode::server);
  o.queue_pairs = 129;
  EXPECT_EQ(Port::create(o, host_).error(), "port 's': queues: 129, must be 1 to 128");
  o = options("s", SocketMode::server);
  o.mtu = 67;
  EXPECT_EQ(Port::create(o, host_).error(), "port 's': mtu: 67, must be 68 to 65535");
}

TEST_F(Server, says_in_words_what_the_guest_has_negotiated) {
  const auto port = server("s");
  FrontEnd peer = connect("s");
  GuestRam ram(1U << 20U);
  const UniqueFd an_event = event();
  peer.negotiate(kFeatures | feature::kRingPacked | feature::kInOrder, 9);
  peer.send_memory(ram);
  peer.start_ring(ram, 1, 256, 0x8000, an_event.get(), an_event.get());
  ASSERT_TRUE(peer.settle());
  const auto status = port->status();
  const auto detail = [&](const std::string& name) {
    for (const auto& [key, value] : status.details) {
      if (key == name) return value;
    }
    return std::string("-");
  };
  EXPECT_FALSE(status.link_up);
  EXPECT_EQ(status.state, "connected");
  EXPECT_EQ(detail("features"), "PROTOCOL_FEATURES VERSION_1 RING_PACKED IN_ORDER");
  EXPECT_EQ(detail("protocol features"), "MQ REPLY_ACK");
  EXPECT_EQ(detail("rings"), "packed");
  EXPECT_EQ(detail("from guest 0"), "size 256, disabled, interrupts 0 (failed 0), guest errors 0");
  EXPECT_EQ(detail("memory"), "1 MiB in 1 region");
}

using CutOff = Bench;

TEST_F(CutOff, memory_costs_the_port_its_connection_while_a_pmd_reads_it) {
  const auto port = server("s");
  const auto other = server("other");
  FrontEnd victim = connect("other");
  ASSERT_TRUE(victim.settle());
  const Held before = Held::now();
  {
    FrontEnd peer = connect("s");
    GuestRam ram(1U << 20U);
    const UniqueFd an_event = event();
    // A PMD: reads and writes the memory until it is taken back.
    std::atomic<bool> taken_back{false};
    std::thread pmd;
    on_wait = [&] {
      taken_back = true;
      if (pmd.joinable()) pmd.join();
    };
    std::uint8_t* memory = nullptr;
    port->queues_changed = [&] {
      if (port->rx_queues().empty() || memory != nullptr) return;
      std::ifstream maps("/proc/self/maps");  // the last mapping that was made of the memfd is the port's
      for (std::string line; std::getline(maps, line);) {
        if (line.find("memfd:guest-ram") == line.npos) continue;
        auto* const start = reinterpret_cast<std::uint8_t*>(std::stoull(line, nullptr, 16));
        if (start != ram.data()) memory = start;
      }
    };
    peer.negotiate(kFeatures, 0);
    peer.send_memory(ram);
    peer.start_ring(ram, 1, 256, 0, an_event.get(), -1);
    ASSERT_TRUE(peer.settle());
    ASSERT_NE(memory, nullptr);
    taken_back = false;
    std::atomic<std::uint64_t> rounds{0};
    pmd = std::thread([&] {
      for (std::uint64_t i = 0; !taken_back; i = (i + 4096) % (1U << 20U), ++rounds) {
        std::atomic_ref<std::uint8_t>(memory[i]).fetch_add(1, std::memory_order_relaxed);
      }
    });
    while (rounds < 1000) std::this_thread::yield();
    ram.truncate(0);
    EXPECT_TRUE(peer.wait_until_closed());
    EXPECT_FALSE(pmd.joinable()) << "the memory was unmapped after the PMD had finished with it";
    port->queues_changed = nullptr;
    if (pmd.joinable()) pmd.join();
    on_wait = nullptr;
  }
  ASSERT_EQ(errors_.size(), 1U);
  EXPECT_NE(errors_[0].find("port 's': the front end cut off memory"), std::string::npos) << errors_[0];
  EXPECT_TRUE(victim.settle());
  EXPECT_EQ(Held::now(), before);
  FrontEnd next = connect("s");
  EXPECT_TRUE(next.settle());
}

TEST_F(CutOff, memory_that_the_control_thread_itself_reads_is_noticed_too) {
  const auto port = server("s");
  FrontEnd peer = connect("s");
  GuestRam ram(1U << 20U);
  const UniqueFd an_event = event();
  peer.negotiate(kFeatures, 0);
  peer.send_memory(ram);
  ASSERT_TRUE(peer.settle());
  ram.truncate(0);
  peer.start_ring(ram, 1, 256, 0, an_event.get(), -1);  // looks at the used index
  EXPECT_TRUE(peer.wait_until_closed());
  ASSERT_EQ(errors_.size(), 1U);
}

TEST(SigbusGuardDeath, an_address_that_nobody_guards_ends_the_program) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_EXIT(
      {
        GuestRam guarded(4096);
        const ports::vhost::SigbusGuard guard(guarded.data(), 4096);
        GuestRam ram(4096);
        ram.truncate(0);
        ram.data()[0] = 1;
      },
      [](int status) { return !WIFEXITED(status) || WEXITSTATUS(status) != 0; }, "");
}

}  // namespace
}  // namespace sluice::test
