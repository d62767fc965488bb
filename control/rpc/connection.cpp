// RpcConnection. See connection.hpp.
#include "control/rpc/connection.hpp"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string_view>
#include <utility>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

namespace sluice::control {

RpcConnection::RpcConnection(ports::EventLoop& loop, const RpcDispatcher& dispatcher, int fd,
                             std::function<void()> closed)
    : loop_(loop), dispatcher_(dispatcher), fd_(fd), closed_(std::move(closed)) {}

RpcConnection::~RpcConnection() {
  if (!hung_up_) loop_.unwatch(fd_);
  ::close(fd_);
}

void RpcConnection::start() {
  watched_ = EPOLLIN;
  loop_.watch(fd_, watched_, [self = weak_from_this()](std::uint32_t events) {
    if (auto connection = self.lock()) connection->on_ready(events);
  });
}

void RpcConnection::on_ready(std::uint32_t events) {
  if ((events & (EPOLLHUP | EPOLLERR)) != 0) {
    // A client that has gone may have left notifications behind: no more than a socket's buffer of them.
    while (!end_of_input_ && read_some()) continue;
    end_of_input_ = true;
    hang_up();
  } else if ((events & EPOLLIN) != 0 && !end_of_input_) {
    read_some();  // once a round: others get their turn, and epoll tells again
  }
  proceed();
}

/// Whether there was something.
bool RpcConnection::read_some() {
  std::array<char, 64 << 10> buffer;
  const ssize_t got = ::recv(fd_, buffer.data(), buffer.size(), 0);
  if (got > 0) {
    in_.append(buffer.data(), static_cast<std::size_t>(got));
    return true;
  }
  if (got == 0) {
    end_of_input_ = true;
  } else if (errno != EAGAIN && errno != EINTR) {
    end_of_input_ = true;
    hang_up();
  }
  return false;
}

/// Takes messages, sends what can be sent, and says what is to be waited for.
void RpcConnection::proceed() {
  if (reported_ || handling_) return;
  handling_ = true;
  std::size_t taken = 0;
  while (taken < kMessagesARound && handle_next()) ++taken;
  handling_ = false;
  in_.erase(0, handled_);
  scanned_ -= handled_;
  handled_ = 0;
  if (in_.size() > kMaxMessageBytes && scanned_ == in_.size()) refuse_too_long();

  const bool more = taken == kMessagesARound && in_flight_ < kMaxInFlight;
  if (more && !turn_posted_) {
    turn_posted_ = true;
    loop_.post([self = weak_from_this()] {
      if (auto connection = self.lock()) {
        connection->turn_posted_ = false;
        connection->proceed();
      }
    });
  }
  write_some();

  const bool all_done = end_of_input_ && !more && in_flight_ == 0;
  if (all_done && (hung_up_ || out_.empty())) {
    reported_ = true;
    hang_up();
    return closed_();
  }
  if (hung_up_) return;
  // While messages are left to be taken, no more are read: in_ stays bounded.
  const bool read_on = !end_of_input_ && !more && in_flight_ < kMaxInFlight;
  const std::uint32_t events = (read_on ? EPOLLIN : 0U) | (out_.empty() ? 0U : EPOLLOUT);
  if (events != watched_) loop_.rewatch(fd_, watched_ = events);
}

/// Takes one message from in_, if there is a whole one and it may be taken now.
bool RpcConnection::handle_next() {
  if (in_flight_ >= kMaxInFlight) return false;
  const std::size_t end = in_.find('\n', scanned_);
  if (end == std::string::npos) {
    scanned_ = in_.size();
    return false;
  }
  std::string_view line = std::string_view(in_).substr(handled_, end - handled_);
  handled_ = scanned_ = end + 1;
  if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
  if (line.empty()) return true;
  ++in_flight_;
  dispatcher_.handle(line, [self = weak_from_this()](const std::string& response) {
    auto connection = self.lock();
    if (!connection) return;
    --connection->in_flight_;
    connection->answer(response);
    connection->proceed();
  });
  return true;
}

void RpcConnection::answer(const std::string& line) {
  if (line.empty() || hung_up_) return;
  if (out_.size() - sent_ > kMaxWaitingBytes) {
    spdlog::warn("control socket: a client leaves {} bytes of responses unread, at most {} are kept: closed",
                 out_.size() - sent_, kMaxWaitingBytes);
    end_of_input_ = true;
    return hang_up();
  }
  out_.append(line).push_back('\n');
}

/// Where the next message begins cannot be told: nothing more is read.
void RpcConnection::refuse_too_long() {
  if (end_of_input_) return;
  end_of_input_ = true;
  answer(to_line(error_response(
      nullptr, {RpcCode::parse_error,
                fmt::format("a message is longer than {} bytes: the connection is closed", kMaxMessageBytes)})));
  in_.clear();
  scanned_ = 0;
}

void RpcConnection::write_some() {
  while (!hung_up_ && sent_ < out_.size()) {
    const ssize_t sent = ::send(fd_, out_.data() + sent_, out_.size() - sent_, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0 && errno == EAGAIN) break;
    if (sent < 0) {
      end_of_input_ = true;
      hang_up();
      break;
    }
    sent_ += static_cast<std::size_t>(sent);
  }
  // Sent bytes are dropped when they are the larger half: the copying stays in proportion.
  if (sent_ == out_.size() || sent_ > out_.size() / 2) {
    out_.erase(0, sent_);
    sent_ = 0;
  }
}

void RpcConnection::hang_up() {
  if (hung_up_) return;
  hung_up_ = true;
  loop_.unwatch(fd_);
  out_.clear();
  sent_ = 0;
}

}  // namespace sluice::control
