#include "ports/vhost/connection.hpp"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace sluice::ports::vhost {
namespace {

/// Messages handled before the loop looks at other ports again.
constexpr unsigned kMessagesARound = 16;
/// As many as the kernel passes at once (SCM_MAX_FD), so that none is lost unseen.
constexpr std::size_t kMaxFdsAtOnce = 253;
/// Edge-triggered: half a message stays in the socket, and must not wake us again before there is more of it.
constexpr std::uint32_t kEvents = EPOLLIN | EPOLLRDHUP | EPOLLET;

MessageHeader header_of(const std::uint8_t* bytes) {
  MessageHeader header;
  std::memcpy(&header, bytes, sizeof header);
  return header;
}

}  // namespace

Connection::Connection(UniqueFd socket, EventLoop& loop, std::chrono::milliseconds deadline, Handlers handlers)
    : socket_(std::move(socket)), loop_(loop), deadline_(deadline), handlers_(std::move(handlers)) {
  go_on();
}

Connection::~Connection() { pause(); }

void Connection::go_on() {
  loop_.watch(socket_.get(), kEvents, [this](std::uint32_t) { on_readable(); });
}

void Connection::pause() {
  loop_.unwatch(socket_.get());
  if (timer_ != 0) loop_.cancel(std::exchange(timer_, 0));
}

void Connection::shut_down() const { ::shutdown(socket_.get(), SHUT_RDWR); }

bool Connection::closed_by_peer() const {
  pollfd state{socket_.get(), POLLRDHUP, 0};
  return ::poll(&state, 1, 0) == 1 && (state.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

void Connection::on_readable() {
  for (unsigned messages = 0; messages < kMessagesARound; ++messages) {
    if (look() != Step::again) return;
  }
  loop_.rewatch(socket_.get(), kEvents);  // there may be more
}

std::size_t Connection::message_size() const {
  if (!header_known_) return sizeof(MessageHeader);
  return sizeof(MessageHeader) + header_of(buffer_.data()).size;  // at most the buffer: checked with the header
}

Connection::Step Connection::look() {
  if (!header_known_) {
    if (const Step step = look_at_header(); step != Step::again) return step;
  }
  return look_at_rest();
}

/// Bytes from `offset` on of what is in the socket, into their place in the buffer, and `beyond` (0 or 1) more into
/// nowhere; they stay there. As recvmsg.
std::ptrdiff_t Connection::peek(std::size_t offset, std::size_t size, msghdr& message, std::size_t beyond) {
  std::array<std::uint8_t, 1> sink{};
  std::array<iovec, 2> parts{iovec{buffer_.data() + offset, size}, iovec{sink.data(), std::min(beyond, sink.size())}};
  message.msg_iov = parts.data();
  message.msg_iovlen = parts.size();
  const int from = static_cast<int>(offset);
  ::setsockopt(socket_.get(), SOL_SOCKET, SO_PEEK_OFF, &from, sizeof from);
  ssize_t n = 0;
  do {
    n = ::recvmsg(socket_.get(), &message, MSG_PEEK | MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  } while (n < 0 && errno == EINTR);
  return n;
}

/// Without the fds: they come with every look at the bytes that they were sent with, and are wanted once.
Connection::Step Connection::look_at_header() {
  for (std::size_t seen = 0; seen < sizeof(MessageHeader);) {
    msghdr message{};
    const std::ptrdiff_t n = peek(seen, sizeof(MessageHeader) - seen, message);
    if (n <= 0) return half_a_message(n, seen);
    seen += static_cast<std::size_t>(n);
  }
  if (const std::string wrong = check_header(header_of(buffer_.data())); !wrong.empty()) return end(wrong);
  header_known_ = true;
  return Step::again;
}

/// A look goes on from packet to packet (Linux, unix_stream_read_generic) and ends behind the first that has fds, even
/// if there are no bytes left to be looked at: then they are another message's. So one byte more is asked for than the
/// message has: when that comes, none of the message's own packets has had any.
Connection::Step Connection::look_at_rest() {
  while (filled_ < message_size()) {
    alignas(cmsghdr) std::array<char, CMSG_SPACE(kMaxFdsAtOnce * sizeof(int))> control;
    msghdr message{};
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    const auto left = static_cast<std::ptrdiff_t>(message_size() - filled_);
    const std::ptrdiff_t n = peek(filled_, message_size() - filled_, message, 1);
    if (n <= 0) return half_a_message(n, filled_);
    std::vector<UniqueFd> found = fds_of(message);
    if (n <= left) collect_fds(std::move(found), (message.msg_flags & MSG_CTRUNC) != 0);
    filled_ += static_cast<std::size_t>(std::min(n, left));
    ++pieces_;
  }
  return take_message();
}

/// There is no more than `seen` bytes of a message, by what recvmsg has returned.
Connection::Step Connection::half_a_message(std::ptrdiff_t received, std::size_t seen) {
  const std::size_t begun = std::max(seen, header_known_ ? sizeof(MessageHeader) : 0);  // all of it was looked at twice
  if (received == 0) return end(begun == 0 ? std::string() : "closed by the front end in the middle of a message");
  if (errno != EAGAIN) {
    return end(errno == ECONNRESET ? std::string() : std::string("receiving failed: ") + std::strerror(errno));
  }
  seen_ = begun;
  if (seen_ != 0 && timer_ == 0) {
    timer_ = loop_.after(deadline_, [this] {
      timer_ = 0;
      end("half a message: " + std::to_string(seen_) + " of " + std::to_string(message_size()) + " bytes within " +
          std::to_string(deadline_.count()) + " ms");
    });
  }
  return Step::wait;
}

std::vector<UniqueFd> Connection::fds_of(const msghdr& message) {
  std::vector<UniqueFd> fds;
  for (const cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr;
       c = CMSG_NXTHDR(const_cast<msghdr*>(&message), const_cast<cmsghdr*>(c))) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
      fds.emplace_back(fd);
    }
  }
  return fds;
}

void Connection::collect_fds(std::vector<UniqueFd> found, bool cut_off) {
  for (UniqueFd& fd : found) {
    if (fds_.size() < kMaxMessageFds) {
      fds_.push_back(std::move(fd));
    } else {
      too_many_fds_ = true;
    }
  }
  if (cut_off) too_many_fds_ = true;
}

Connection::Step Connection::take_message() {
  if (timer_ != 0) loop_.cancel(std::exchange(timer_, 0));
  const MessageHeader header = header_of(buffer_.data());
  if (too_many_fds_) {
    return end(std::string(shape_of(header.request)->name) + ": more than " + std::to_string(kMaxMessageFds) +
               " file descriptors, or more than this process may open");
  }
  const Outcome outcome =
      handlers_.message(Message{header, {buffer_.data() + sizeof header, header.size}, std::exchange(fds_, {})});
  // Taking a message out is one instant, unless it came in pieces.
  const bool settles = outcome.reply || !outcome.error.empty() || pieces_ > 1;
  if (settles) handlers_.settling(true);
  if (outcome.reply) {
    const ssize_t sent = ::send(socket_.get(), &*outcome.reply, sizeof(Reply), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent != static_cast<ssize_t>(sizeof(Reply)) && outcome.error.empty()) {
      return end(errno == EAGAIN || sent >= 0 ? "the front end does not read the replies that it asks for"
                 : errno == EPIPE             ? std::string()
                                              : std::string("replying failed: ") + std::strerror(errno));
    }
  }
  if (!take_out(filled_)) return end(std::string("receiving failed: ") + std::strerror(errno));
  header_known_ = false;
  filled_ = 0;
  pieces_ = 0;
  if (!outcome.error.empty()) return end(outcome.error);
  if (settles) handlers_.settling(false);
  return Step::again;
}

/// The fds that came along are had already; those of the kernel's own are closed, since nobody asks for them here.
bool Connection::take_out(std::size_t bytes) {
  std::array<std::uint8_t, sizeof(buffer_)> sink;
  while (bytes != 0) {
    const ssize_t n = ::recv(socket_.get(), sink.data(), std::min(bytes, sink.size()), MSG_DONTWAIT);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    bytes -= static_cast<std::size_t>(n);
  }
  return true;
}

Connection::Step Connection::end(const std::string& reason) {
  const auto ended = std::exchange(handlers_.ended, nullptr);
  if (ended) ended(reason);  // this may be gone now
  return Step::ended;
}

}  // namespace sluice::ports::vhost
