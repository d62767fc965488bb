#include "ports/vhost/connection.hpp"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace sluice::ports::vhost {
namespace {

/// Messages handled before the loop looks at other ports again.
constexpr unsigned kMessagesARound = 16;
/// As many as the kernel passes at once (SCM_MAX_FD), so that none is lost unseen.
constexpr std::size_t kMaxFdsAtOnce = 253;

MessageHeader header_of(const std::uint8_t* bytes) {
  MessageHeader header;
  std::memcpy(&header, bytes, sizeof header);
  return header;
}

}  // namespace

Connection::Connection(UniqueFd socket, EventLoop& loop, std::chrono::milliseconds deadline, Handlers handlers)
    : socket_(std::move(socket)), loop_(loop), deadline_(deadline), handlers_(std::move(handlers)) {
  loop_.watch(socket_.get(), EPOLLIN | EPOLLRDHUP, [this](std::uint32_t) { on_readable(); });
}

Connection::~Connection() {
  loop_.unwatch(socket_.get());
  if (timer_ != 0) loop_.cancel(timer_);
}

bool Connection::closed_by_peer() const {
  pollfd state{socket_.get(), POLLRDHUP, 0};
  return ::poll(&state, 1, 0) == 1 && (state.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

void Connection::on_readable() {
  for (unsigned messages = 0; messages < kMessagesARound;) {
    const Step step = receive();
    if (step != Step::again) return;
    if (filled_ == 0) ++messages;
  }
}

std::size_t Connection::expected_size() const {
  if (filled_ < sizeof(MessageHeader)) return sizeof(MessageHeader);
  return sizeof(MessageHeader) + header_of(buffer_.data()).size;  // at most the buffer: checked with the header
}

Connection::Step Connection::receive() {
  iovec part{buffer_.data() + filled_, expected_size() - filled_};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(kMaxFdsAtOnce * sizeof(int))> control;
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  const ssize_t n = ::recvmsg(socket_.get(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (n < 0) {
    if (errno == EAGAIN || errno == EINTR) return Step::wait;
    return end(errno == ECONNRESET ? std::string() : std::string("receiving failed: ") + std::strerror(errno));
  }
  collect_fds(message);
  if (n == 0) return end(filled_ == 0 ? std::string() : "closed by the front end in the middle of a message");
  filled_ += static_cast<std::size_t>(n);
  return on_bytes();
}

void Connection::collect_fds(const msghdr& message) {
  for (const cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr;
       c = CMSG_NXTHDR(const_cast<msghdr*>(&message), const_cast<cmsghdr*>(c))) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
      UniqueFd owned(fd);
      if (fds_.size() < kMaxMessageFds) {
        fds_.push_back(std::move(owned));
      } else {
        too_many_fds_ = true;
      }
    }
  }
  if ((message.msg_flags & MSG_CTRUNC) != 0) too_many_fds_ = true;
}

Connection::Step Connection::on_bytes() {
  if (filled_ == sizeof(MessageHeader)) {
    if (const std::string wrong = check_header(header_of(buffer_.data())); !wrong.empty()) return end(wrong);
  }
  if (filled_ >= sizeof(MessageHeader) && filled_ == expected_size()) return take_message();
  if (timer_ == 0) {
    timer_ = loop_.after(deadline_, [this] {
      timer_ = 0;
      end("half a message: " + std::to_string(filled_) + " of " + std::to_string(expected_size()) + " bytes within " +
          std::to_string(deadline_.count()) + " ms");
    });
  }
  return Step::again;
}

Connection::Step Connection::take_message() {
  if (timer_ != 0) loop_.cancel(std::exchange(timer_, 0));
  const MessageHeader header = header_of(buffer_.data());
  if (too_many_fds_) {
    return end(std::string(shape_of(header.request)->name) + ": more than " + std::to_string(kMaxMessageFds) +
               " file descriptors, or more than this process may open");
  }
  Message message{header, {buffer_.data() + sizeof header, header.size}, std::exchange(fds_, {})};
  filled_ = 0;
  const Outcome outcome = handlers_.message(std::move(message));
  if (outcome.reply) {
    const ssize_t sent = ::send(socket_.get(), &*outcome.reply, sizeof(Reply), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent != static_cast<ssize_t>(sizeof(Reply)) && outcome.error.empty()) {
      return end(errno == EAGAIN || sent >= 0 ? "the front end does not read the replies that it asks for"
                 : errno == EPIPE             ? std::string()
                                              : std::string("replying failed: ") + std::strerror(errno));
    }
  }
  return outcome.error.empty() ? Step::again : end(outcome.error);
}

Connection::Step Connection::end(const std::string& reason) {
  const auto ended = std::exchange(handlers_.ended, nullptr);
  if (ended) ended(reason);  // this may be gone now
  return Step::ended;
}

}  // namespace sluice::ports::vhost
