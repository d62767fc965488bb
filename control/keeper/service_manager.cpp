#include "control/keeper/service_manager.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "control/keeper/passed_fd.hpp"

namespace sluice::control {
namespace {

/// sd_listen_fds(3): the first descriptor that is passed.
constexpr int kFirstPassed = 3;
constexpr std::string_view kStateName = "state";
constexpr std::string_view kConfigName = "config";

/// How often what waits is tried again; how long at the end.
constexpr std::chrono::milliseconds kRetry{10};
constexpr std::chrono::milliseconds kLastPatience{1000};

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
  socket_ = ports::UniqueFd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
}

ServiceManager::~ServiceManager() {
  const auto deadline = std::chrono::steady_clock::now() + kLastPatience;
  while (!flush() && std::chrono::steady_clock::now() < deadline) std::this_thread::sleep_for(kRetry);
  if (!waiting_.empty()) {
    spdlog::warn("the service manager at '{}' does not read: {} messages are lost", address_, waiting_.size());
  }
}

void ServiceManager::use(ports::EventLoop* loop) {
  if (loop_ != nullptr) loop_->cancel(std::exchange(retry_, 0));
  loop_ = loop;
  if (!waiting_.empty()) try_later();
}

void ServiceManager::ready() { say("READY=1\nSTATUS=Switching"); }

void ServiceManager::reloading() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  say(fmt::format("RELOADING=1\nSTATUS=Upgrading\nMONOTONIC_USEC={}", now.tv_sec * 1'000'000 + now.tv_nsec / 1000));
}

void ServiceManager::stopping() { say("STOPPING=1\nSTATUS=Stopping"); }

void ServiceManager::alive() {
  constexpr const char* kAlive = "WATCHDOG=1";
  // Once, however long nobody reads.
  if (std::ranges::find(waiting_, kAlive, &Notice::text) == waiting_.end()) say(kAlive);
}

void ServiceManager::forget_all(const Keepsakes& kept) {
  for (const auto& [place, fd] : kept.all()) remove(name_of(place));
  remove(kStateName);
}

void ServiceManager::store(const Message& m, int fd, const Keepsakes& kept) {
  if (!socket_) return;
  const KeptPlace place{m.slot, m.kind, m.index};
  if (m.saying == Saying::forget_slot) {
    for (const auto& [other, other_fd] : kept.all()) {
      if (other.slot == m.slot) remove(name_of(other));
    }
    return;
  }
  if (kept.find(place) >= 0) remove(name_of(place));
  if (m.saying != Saying::keep || fd < 0) return;
  if (const auto enveloped = envelope(m, fd)) {
    // FDPOLL=0: it would take away what has hung up, and nobody is at the envelope's other end.
    const std::string name = name_of(place);
    say("FDSTORE=1\nFDPOLL=0\nFDNAME=" + name, name, enveloped.get());
  } else {
    spdlog::warn("the service manager was not given '{}': {}", name_of(place), std::strerror(errno));
  }
}

void ServiceManager::store_state(int fd) { say(fmt::format("FDSTORE=1\nFDNAME={}", kStateName), kStateName, fd); }

void ServiceManager::store_config(int fd) {
  remove(kConfigName);
  say(fmt::format("FDSTORE=1\nFDNAME={}", kConfigName), kConfigName, fd);
}

/// Whatever waits to be said of it is said no more.
void ServiceManager::remove(std::string_view name) {
  std::erase_if(waiting_, [name](const Notice& notice) { return notice.name == name; });
  say(fmt::format("FDSTOREREMOVE=1\nFDNAME={}", name), name);
}

void ServiceManager::say(std::string text, std::string_view name, int fd) {
  if (!socket_) return;
  Notice notice{std::move(text), std::string(name), {}};
  if (waiting_.empty() && send(notice, fd)) return;
  if (fd >= 0) notice.fd = ports::UniqueFd(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
  if (fd >= 0 && !notice.fd) return not_told(notice);
  waiting_.push_back(std::move(notice));
  try_later();
}

/// Whether all of it has been taken.
bool ServiceManager::flush() {
  while (!waiting_.empty() && send(waiting_.front(), waiting_.front().fd.get())) waiting_.pop_front();
  return waiting_.empty();
}

void ServiceManager::try_later() {
  if (loop_ == nullptr || retry_ != 0) return;
  retry_ = loop_->after(kRetry, [this] {
    retry_ = 0;
    if (!flush()) try_later();
  });
}

/// Whether there is nothing more to do for it: false if it is to be tried again.
bool ServiceManager::send(const Notice& notice, int fd) const {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (address_.size() >= sizeof address.sun_path) return true;
  address_.copy(address.sun_path, address_.size());
  if (address.sun_path[0] == '@') address.sun_path[0] = '\0';  // in the abstract namespace
  iovec part{const_cast<char*>(notice.text.data()), notice.text.size()};
  msghdr packet{};
  packet.msg_name = &address;
  packet.msg_namelen = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + address_.size());
  packet.msg_iov = &part;
  packet.msg_iovlen = 1;
  const PassedFd passed(packet, fd);
  if (::sendmsg(socket_.get(), &packet, MSG_NOSIGNAL) >= 0) return true;
  if (errno == EAGAIN || errno == EINTR || errno == ENOBUFS || errno == ETOOMANYREFS) return false;
  not_told(notice);
  return true;
}

void ServiceManager::not_told(const Notice& notice) const {
  spdlog::warn("the service manager at '{}' was not told '{}': {}", address_,
               std::string_view(notice.text).substr(0, notice.text.find('\n')), std::strerror(errno));
}

}  // namespace sluice::control
