#include "control/keeper/service_manager.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <vector>

#include "control/keeper/passed_fd.hpp"

namespace sluice::control {
namespace {

/// sd_listen_fds(3): the first descriptor that is passed.
constexpr int kFirstPassed = 3;
constexpr std::string_view kStateName = "state";
constexpr std::string_view kConfigName = "config";

template <typename T>
std::optional<T> number(std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() ? std::optional(value) : std::nullopt;
}

std::string take_variable(const char* name) {
  const char* const value = std::getenv(name);
  std::string taken = value == nullptr ? "" : value;
  ::unsetenv(name);
  return taken;
}

std::vector<std::string> split(std::string_view text, char at) {
  std::vector<std::string> parts;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(at, begin), text.size());
    parts.emplace_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

/// Short: all of them come back in LISTEN_FDNAMES, and a program that is given a longer variable than 128 KiB cannot be
/// started. No ':' may be in it, by which they are separated.
std::string name_of(const KeptPlace& place) {
  return fmt::format("{}-{}-{}", place.slot, static_cast<unsigned>(place.kind), place.index);
}

/// A socket in which the message and its descriptor wait for whoever looks into it. Of a file that comes again, by
/// whatever name, systemd keeps the first descriptor alone; and guests have memory regions that are one file, and
/// queues with one eventfd. A socket that was made for it is none that came before.
ports::UniqueFd envelope(const Message& message, int fd) {
  std::array<int, 2> ends{-1, -1};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0) return {};
  const ports::UniqueFd in(ends[0]);
  ports::UniqueFd out(ends[1]);
  return send_message(in.get(), message, {}, fd, false) == SendResult::sent ? std::move(out) : ports::UniqueFd();
}

}  // namespace

ServiceManager::ServiceManager() : address_(take_variable("NOTIFY_SOCKET")) {
  const auto pid_text = std::to_string(::getpid());
  const auto period = number<std::int64_t>(take_variable("WATCHDOG_USEC"));
  const std::string watched = take_variable("WATCHDOG_PID");
  if (period && (watched.empty() || watched == pid_text)) watchdog_ = std::chrono::microseconds(*period);

  const auto count = number<int>(take_variable("LISTEN_FDS"));
  const auto names = split(take_variable("LISTEN_FDNAMES"), ':');
  if (take_variable("LISTEN_PID") == pid_text && count) {
    for (int i = 0; i < *count; ++i) {
      ports::UniqueFd fd(kFirstPassed + i);
      ::fcntl(fd.get(), F_SETFD, FD_CLOEXEC);
      const std::string name = static_cast<std::size_t>(i) < names.size() ? names[static_cast<std::size_t>(i)] : "";
      if (name == kStateName) {
        found_.state = std::move(fd);
      } else if (name == kConfigName) {
        found_.config = std::move(fd);
      } else if (auto received = peek_message(fd.get())) {
        found_.kept.apply(*received);
      }
    }
  }
  if (address_.empty()) return;
  socket_ = ports::UniqueFd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  // A service manager that does not read must not hold us up for long.
  const timeval patience{.tv_sec = 0, .tv_usec = 100'000};
  ::setsockopt(socket_.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
}

void ServiceManager::ready() const { say("READY=1\nSTATUS=Switching"); }

void ServiceManager::reloading() const {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  say(fmt::format("RELOADING=1\nSTATUS=Upgrading\nMONOTONIC_USEC={}", now.tv_sec * 1'000'000 + now.tv_nsec / 1000));
}

void ServiceManager::stopping() const { say("STOPPING=1\nSTATUS=Stopping"); }

void ServiceManager::forget_all(const Keepsakes& kept) const {
  for (const auto& [place, fd] : kept.all()) say("FDSTOREREMOVE=1\nFDNAME=" + name_of(place));
  say(fmt::format("FDSTOREREMOVE=1\nFDNAME={}", kStateName));
}

void ServiceManager::store(const Message& m, int fd, const Keepsakes& kept) const {
  if (!socket_) return;
  const auto remove = [this](const KeptPlace& place) { say("FDSTOREREMOVE=1\nFDNAME=" + name_of(place)); };
  const KeptPlace place{m.slot, m.kind, m.index};
  if (m.saying == Saying::forget_slot) {
    for (const auto& [other, other_fd] : kept.all()) {
      if (other.slot == m.slot) remove(other);
    }
    return;
  }
  if (kept.find(place) >= 0) remove(place);
  if (m.saying != Saying::keep || fd < 0) return;
  if (const auto enveloped = envelope(m, fd)) {
    // FDPOLL=0: it would take away what has hung up, and nobody is at the envelope's other end.
    say("FDSTORE=1\nFDPOLL=0\nFDNAME=" + name_of(place), enveloped.get());
  } else {
    spdlog::warn("the service manager was not given '{}': {}", name_of(place), std::strerror(errno));
  }
}

void ServiceManager::store_state(int fd) const { say(fmt::format("FDSTORE=1\nFDNAME={}", kStateName), fd); }

void ServiceManager::store_config(int fd) const {
  say(fmt::format("FDSTOREREMOVE=1\nFDNAME={}", kConfigName));
  say(fmt::format("FDSTORE=1\nFDNAME={}", kConfigName), fd);
}

void ServiceManager::say(std::string_view text, int fd) const {
  if (!socket_) return;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (address_.size() >= sizeof address.sun_path) return;
  address_.copy(address.sun_path, address_.size());
  if (address.sun_path[0] == '@') address.sun_path[0] = '\0';  // in the abstract namespace
  iovec part{const_cast<char*>(text.data()), text.size()};
  msghdr packet{};
  packet.msg_name = &address;
  packet.msg_namelen = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + address_.size());
  packet.msg_iov = &part;
  packet.msg_iovlen = 1;
  const PassedFd passed(packet, fd);
  if (::sendmsg(socket_.get(), &packet, MSG_NOSIGNAL) < 0) {
    spdlog::warn("the service manager at '{}' was not told '{}': {}", address_, text.substr(0, text.find('\n')),
                 std::strerror(errno));
  }
}

}  // namespace sluice::control
