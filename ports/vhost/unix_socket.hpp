// UNIX stream sockets by path: listening on one, and connecting to one, without ever blocking.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <string>

#include <tl/expected.hpp>

#include "ports/unique_fd.hpp"

namespace sluice::ports::vhost {

/// What sockaddr_un holds, without its final 0.
inline constexpr std::size_t kMaxSocketPath = 107;

/// A listening socket and its file, which is removed at the end, if it is ours.
class ListenSocket {
 public:
  /// Makes the file with these permissions. One that is there is replaced only if it is a socket that nobody listens
  /// on.
  [[nodiscard]] static tl::expected<ListenSocket, std::string> listen(const std::string& path, mode_t permissions);
  /// One that another process has made at `path`, and its file, which may be gone by now. The file is that process's
  /// until own() is called.
  [[nodiscard]] static tl::expected<ListenSocket, std::string> adopt(UniqueFd fd, const std::string& path,
                                                                     std::uint64_t device, std::uint64_t inode);
  ~ListenSocket();
  ListenSocket(ListenSocket&& other) noexcept = default;
  ListenSocket& operator=(ListenSocket&&) = delete;

  [[nodiscard]] int fd() const { return fd_.get(); }
  /// Whether its file is where it was made: nobody can connect else.
  [[nodiscard]] bool has_file() const;
  [[nodiscard]] std::uint64_t device() const { return device_; }
  [[nodiscard]] std::uint64_t inode() const { return inode_; }
  /// Whether the file goes with this.
  void own(bool ours) { ours_ = ours; }

 private:
  ListenSocket(UniqueFd fd, std::string path, std::uint64_t device, std::uint64_t inode, bool ours)
      : fd_(std::move(fd)), path_(std::move(path)), device_(device), inode_(inode), ours_(ours) {}

  UniqueFd fd_;
  std::string path_;
  std::uint64_t device_;  ///< of the file, so that another's in its place is left alone
  std::uint64_t inode_;
  bool ours_;
};

/// Removes the file of a socket that listened there, unless another has taken its place.
void remove_socket(const std::string& path, std::uint64_t device, std::uint64_t inode);

/// A connected socket, or errno: ENOENT, ECONNREFUSED (nobody listens), EAGAIN (too many wait already), ...
[[nodiscard]] tl::expected<UniqueFd, int> connect_to(const std::string& path);

}  // namespace sluice::ports::vhost
