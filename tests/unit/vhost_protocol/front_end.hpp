// A vhost-user front end for tests: speaks the protocol over a real socket, well or badly, and shares real memory.
//
// FrontEnd sends any bytes with any fds and reads replies. GuestRam is a guest's memory in a memfd. Neither knows
// anything of the switch beyond the protocol's layouts, so that ring tests can use them too. Everything waits by
// calling `pump` (a round of the switch's loop, if it runs in the same thread), never by sleeping.
#pragma once

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "ports/unique_fd.hpp"
#include "ports/vhost/message.hpp"
#include "ports/vhost/virtio.hpp"

namespace sluice::test {

using ports::UniqueFd;
using ports::vhost::MemoryRegion;
using ports::vhost::Request;

/// A guest's memory: one memfd, mapped.
class GuestRam {
 public:
  explicit GuestRam(std::size_t size, std::uint64_t guest_phys = 0, std::uint64_t user = 0x7f0000000000)
      : size_(size), guest_phys_(guest_phys), user_(user), fd_(::memfd_create("guest-ram", MFD_CLOEXEC)) {
    if (::ftruncate(fd_.get(), static_cast<off_t>(size)) != 0) throw std::runtime_error("ftruncate");
    void* const p = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd_.get(), 0);
    if (p == MAP_FAILED) throw std::runtime_error("mmap");
    data_ = static_cast<std::uint8_t*>(p);
  }
  ~GuestRam() { ::munmap(data_, size_); }
  GuestRam(const GuestRam&) = delete;
  GuestRam& operator=(const GuestRam&) = delete;

  [[nodiscard]] int fd() const { return fd_.get(); }
  [[nodiscard]] std::uint8_t* data() const { return data_; }
  [[nodiscard]] std::uint64_t user(std::uint64_t offset = 0) const { return user_ + offset; }
  [[nodiscard]] MemoryRegion region() const { return {guest_phys_, size_, user_, 0}; }
  void truncate(std::size_t size) {
    if (::ftruncate(fd_.get(), static_cast<off_t>(size)) != 0) throw std::runtime_error("ftruncate");
  }

 private:
  std::size_t size_;
  std::uint64_t guest_phys_;
  std::uint64_t user_;
  UniqueFd fd_;
  std::uint8_t* data_;
};

class FrontEnd {
 public:
  using Pump = std::function<void()>;

  /// Connects to a switch that listens at `path`.
  static FrontEnd connect(const std::string& path, Pump pump) {
    UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
      throw std::runtime_error("connect " + path + ": " + std::strerror(errno));
    }
    return FrontEnd(std::move(socket), std::move(pump));
  }
  FrontEnd(UniqueFd socket, Pump pump) : socket_(std::move(socket)), pump_(std::move(pump)) {}

  // ---- any bytes ----

  void send_bytes(const void* bytes, std::size_t size, const std::vector<int>& fds = {}) {
    iovec part{const_cast<void*>(bytes), size};
    std::vector<char> control(fds.empty() ? 0 : CMSG_SPACE(fds.size() * sizeof(int)));
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    if (!fds.empty()) {
      message.msg_control = control.data();
      message.msg_controllen = control.size();
      cmsghdr* const c = CMSG_FIRSTHDR(&message);
      c->cmsg_level = SOL_SOCKET;
      c->cmsg_type = SCM_RIGHTS;
      c->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
      std::memcpy(CMSG_DATA(c), fds.data(), fds.size() * sizeof(int));
    }
    // Closed by the other side already: as a front end would see it, at the next receive.
    [[maybe_unused]] const ssize_t n = ::sendmsg(socket_.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  }
  void send(std::uint32_t request, const std::vector<std::uint8_t>& payload, const std::vector<int>& fds = {},
            std::uint32_t flags = ports::vhost::kVersion) {
    const ports::vhost::MessageHeader header{request, flags, static_cast<std::uint32_t>(payload.size())};
    std::vector<std::uint8_t> bytes(sizeof header);
    std::memcpy(bytes.data(), &header, sizeof header);
    bytes.insert(bytes.end(), payload.begin(), payload.end());
    send_bytes(bytes.data(), bytes.size(), fds);
  }

  // ---- one message each ----

  void send(Request request) { send(static_cast<std::uint32_t>(request), {}); }
  template <typename T>
  void send(Request request, const T& payload, const std::vector<int>& fds = {},
            std::uint32_t flags = ports::vhost::kVersion) {
    std::vector<std::uint8_t> bytes(sizeof payload);
    std::memcpy(bytes.data(), &payload, sizeof payload);
    send(static_cast<std::uint32_t>(request), bytes, fds, flags);
  }
  void send_u64(Request request, std::uint64_t value, const std::vector<int>& fds = {}) { send(request, value, fds); }
  void send_state(Request request, std::uint32_t index, std::uint32_t num) {
    send(request, ports::vhost::VringState{index, num});
  }
  void send_memory(const std::vector<MemoryRegion>& regions, const std::vector<int>& fds,
                   std::uint32_t flags = ports::vhost::kVersion) {
    std::vector<std::uint8_t> payload(8 + regions.size() * sizeof(MemoryRegion));
    const auto count = static_cast<std::uint32_t>(regions.size());
    std::memcpy(payload.data(), &count, sizeof count);
    if (!regions.empty()) std::memcpy(payload.data() + 8, regions.data(), regions.size() * sizeof(MemoryRegion));
    send(static_cast<std::uint32_t>(Request::set_mem_table), payload, fds, flags);
  }
  void send_memory(const GuestRam& ram) { send_memory({ram.region()}, {ram.fd()}); }

  // ---- replies ----

  /// The next reply's payload; nothing if the connection was closed before it came.
  std::optional<std::uint64_t> receive() {
    std::array<std::uint8_t, 20> bytes;
    std::size_t filled = 0;
    if (!wait([&] {
          const ssize_t n = ::recv(socket_.get(), bytes.data() + filled, bytes.size() - filled, MSG_DONTWAIT);
          if (n > 0) filled += static_cast<std::size_t>(n);
          closed_ = closed_ || n == 0 || (n < 0 && errno == ECONNRESET);
          return closed_ || filled == bytes.size();
        }) ||
        filled != bytes.size()) {
      return std::nullopt;
    }
    std::memcpy(&last_header_, bytes.data(), sizeof last_header_);
    std::uint64_t value = 0;
    std::memcpy(&value, bytes.data() + 12, sizeof value);
    return value;
  }
  std::optional<std::uint64_t> ask(Request request) {
    send(request);
    return receive();
  }
  std::optional<std::uint32_t> get_vring_base(std::uint32_t index) {
    send_state(Request::get_vring_base, index, 0);
    const auto reply = receive();
    if (!reply) return std::nullopt;
    return static_cast<std::uint32_t>(*reply >> 32U);
  }
  [[nodiscard]] const ports::vhost::MessageHeader& last_header() const { return last_header_; }
  /// Waits until everything that was sent has been handled.
  bool settle() { return ask(Request::get_features).has_value(); }
  /// Waits until the other side has closed the connection; replies on the way are thrown away.
  bool wait_until_closed() {
    return wait([&] {
      std::array<char, 4096> sink;
      const ssize_t n = ::recv(socket_.get(), sink.data(), sink.size(), MSG_DONTWAIT);
      closed_ = closed_ || n == 0 || (n < 0 && errno == ECONNRESET);
      return closed_;
    });
  }
  void close() { socket_.reset(); }
  [[nodiscard]] int socket() const { return socket_.get(); }

  // ---- whole sequences ----

  /// GET and SET of features and protocol features, as QEMU does it.
  void negotiate(std::uint64_t features, std::uint64_t protocol_features) {
    ask(Request::get_features);
    ask(Request::get_protocol_features);
    send_u64(Request::set_protocol_features, protocol_features);
    send(Request::set_owner);
    send_u64(Request::set_features, features);
  }
  /// A ring in `ram`, 64 KiB apart from the next one: where its areas are, from the start of the memory.
  static constexpr std::uint64_t kRingStride = 0x10000;
  static ports::vhost::VringAddress ring_address(const GuestRam& ram, std::uint32_t index) {
    const std::uint64_t at = index * kRingStride;
    return {index, 0, ram.user(at), ram.user(at + 0x8000), ram.user(at + 0x6000), 0};
  }
  /// NUM, BASE, ADDR, KICK and CALL; `call` < 0: none.
  void start_ring(const GuestRam& ram, std::uint32_t index, std::uint32_t size, std::uint32_t base, int kick,
                  int call) {
    send_state(Request::set_vring_num, index, size);
    send_state(Request::set_vring_base, index, base);
    send(Request::set_vring_addr, ring_address(ram, index));
    send_u64(Request::set_vring_kick, index, {kick});
    if (call >= 0) {
      send_u64(Request::set_vring_call, index, {call});
    } else {
      send_u64(Request::set_vring_call, index | ports::vhost::kVringNoFdFlag);
    }
  }

 private:
  template <typename Condition>
  bool wait(Condition condition) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!condition()) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      pump_();
    }
    return true;
  }

  UniqueFd socket_;
  Pump pump_;
  bool closed_ = false;
  ports::vhost::MessageHeader last_header_{};
};

}  // namespace sluice::test
