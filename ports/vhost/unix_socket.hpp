// UNIX stream sockets by path: listening on one, and connecting to one, without ever blocking.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <string>

#include <tl/expected.hpp>

#include "ports/unique_fd.hpp"

namespace sluice::ports::vhost {

/// What sockaddr_un holds, without its final 0.
inline constexpr std::size_t kMaxSocketPath = 107;

/// A listening socket and its file, which is removed at the end.
class ListenSocket {
 public:
  /// Makes the file with these permissions. One that is there is replaced only if it is a socket that nobody listens
  /// on.
  [[nodiscard]] static tl::expected<ListenSocket, std::string> listen(const std::string& path, mode_t permissions);
  ~ListenSocket();
  ListenSocket(ListenSocket&&) noexcept = default;
  ListenSocket& operator=(ListenSocket&&) = delete;

  [[nodiscard]] int fd() const { return fd_.get(); }

 private:
  ListenSocket(UniqueFd fd, std::string path, dev_t device, ino_t inode)
      : fd_(std::move(fd)), path_(std::move(path)), device_(device), inode_(inode) {}

  UniqueFd fd_;
  std::string path_;
  dev_t device_;  ///< of the file, so that another's in its place is left alone
  ino_t inode_;
};

/// A connected socket, or errno: ENOENT, ECONNREFUSED (nobody listens), EAGAIN (too many wait already), ...
[[nodiscard]] tl::expected<UniqueFd, int> connect_to(const std::string& path);

}  // namespace sluice::ports::vhost
