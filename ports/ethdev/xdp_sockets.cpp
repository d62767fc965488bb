#include "ports/ethdev/xdp_sockets.hpp"

#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <iterator>
#include <string>
#include <system_error>

namespace sluice::ports::ethdev {
namespace {

/// Calls `found(fd, inode)` for each.
template <typename Found>
void for_each_socket(Found found) {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd", error)) {
    const std::string name = entry.path().filename().string();
    int fd = -1;
    std::from_chars(name.data(), name.data() + name.size(), fd);
    int domain = 0;
    socklen_t size = sizeof domain;
    if (::getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) != 0 || domain != AF_XDP) continue;
    struct stat status {};
    if (::fstat(fd, &status) == 0) found(fd, status.st_ino);
  }
}

}  // namespace

XdpSockets XdpSockets::open_now() {
  XdpSockets sockets;
  for_each_socket([&](int, ino_t inode) { sockets.inodes_.insert(inode); });
  return sockets;
}

XdpSockets XdpSockets::without(const XdpSockets& others) const {
  XdpSockets rest;
  std::ranges::set_difference(inodes_, others.inodes_, std::inserter(rest.inodes_, rest.inodes_.end()));
  return rest;
}

void XdpSockets::close() const {
  if (inodes_.empty()) return;
  for_each_socket([this](int fd, ino_t inode) {
    if (inodes_.contains(inode)) ::close(fd);
  });
}

}  // namespace sluice::ports::ethdev
