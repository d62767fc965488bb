// PassedFd: a file descriptor that goes along with a packet to another process (unix(7), SCM_RIGHTS).
#pragma once

#include <sys/socket.h>

#include <array>
#include <cstring>

namespace sluice::control {

/// Outlives the sending of the packet that it was attached to.
class PassedFd {
 public:
  /// `fd` -1: none goes along.
  PassedFd(msghdr& packet, int fd) {
    if (fd < 0) return;
    packet.msg_control = room_.data();
    packet.msg_controllen = room_.size();
    cmsghdr* const rights = CMSG_FIRSTHDR(&packet);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof fd);
    std::memcpy(CMSG_DATA(rights), &fd, sizeof fd);
  }
  PassedFd(const PassedFd&) = delete;
  PassedFd& operator=(const PassedFd&) = delete;

 private:
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> room_{};
};

}  // namespace sluice::control
