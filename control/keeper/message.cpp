#include "control/keeper/message.hpp"

#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "control/keeper/passed_fd.hpp"

namespace sluice::control {

SendResult send_message(int socket, const Message& message, std::string_view text, int fd, bool wait) {
  text = text.substr(0, kMaxSayingBytes);
  Message head = message;
  std::array<iovec, 2> parts{iovec{&head, sizeof head}, iovec{const_cast<char*>(text.data()), text.size()}};
  msghdr packet{};
  packet.msg_iov = parts.data();
  packet.msg_iovlen = parts.size();
  const PassedFd passed(packet, fd);
  for (;;) {
    if (::sendmsg(socket, &packet, MSG_NOSIGNAL | (wait ? 0 : MSG_DONTWAIT)) >= 0) return SendResult::sent;
    // ETOOMANYREFS: so many descriptors are on their way as the process may have; the other side has yet to take them.
    if (errno == EAGAIN || errno == ETOOMANYREFS || errno == ENOBUFS) return SendResult::full;
    if (errno != EINTR) return SendResult::gone;
  }
}

namespace {

tl::expected<Received, Nothing> receive(int socket, int flags) {
  Received received{};
  std::array<char, kMaxSayingBytes> text;
  std::array<iovec, 2> parts{iovec{&received.message, sizeof received.message}, iovec{text.data(), text.size()}};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  msghdr packet{};
  packet.msg_iov = parts.data();
  packet.msg_iovlen = parts.size();
  packet.msg_control = control.data();
  packet.msg_controllen = control.size();
  ssize_t size = -1;
  do {
    size = ::recvmsg(socket, &packet, MSG_CMSG_CLOEXEC | flags);
  } while (size < 0 && errno == EINTR);
  if (size < 0 && errno == EAGAIN) return tl::unexpected(Nothing::yet);
  for (cmsghdr* c = CMSG_FIRSTHDR(&packet); size >= 0 && c != nullptr; c = CMSG_NXTHDR(&packet, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    int fd = -1;  // there is room for one: more were closed by the kernel
    std::memcpy(&fd, CMSG_DATA(c), sizeof fd);
    received.fd = ports::UniqueFd(fd);
  }
  if (size < static_cast<ssize_t>(sizeof(Message))) return tl::unexpected(Nothing::ever);
  received.text.assign(text.data(), static_cast<std::size_t>(size) - sizeof(Message));
  return received;
}

}  // namespace

tl::expected<Received, Nothing> receive_message(int socket, bool wait) {
  return receive(socket, wait ? 0 : MSG_DONTWAIT);
}

tl::expected<Received, Nothing> peek_message(int socket) { return receive(socket, MSG_PEEK | MSG_DONTWAIT); }

}  // namespace sluice::control
