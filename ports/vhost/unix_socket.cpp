#include "ports/vhost/unix_socket.hpp"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>

namespace sluice::ports::vhost {
namespace {

constexpr int kBacklog = 128;

sockaddr_un address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, kMaxSocketPath);
  return address;
}

UniqueFd stream_socket() { return UniqueFd(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)); }

tl::unexpected<std::string> failed(const std::string& path, const char* what) {
  return tl::unexpected("path '" + path + "': " + what + ": " + std::strerror(errno));
}

/// Removes a socket that was left behind by somebody who is gone.
tl::expected<void, std::string> remove_stale(const std::string& path) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0) return {};
  if (!S_ISSOCK(info.st_mode)) return tl::unexpected("path '" + path + "': a file that is not a socket is there");
  const auto peer = connect_to(path);
  if (peer || peer.error() == EAGAIN) return tl::unexpected("path '" + path + "': another program listens there");
  if (peer.error() != ECONNREFUSED) {
    errno = peer.error();
    return failed(path, "cannot tell whether another program listens there");
  }
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) return failed(path, "the stale socket cannot be removed");
  return {};
}

}  // namespace

tl::expected<ListenSocket, std::string> ListenSocket::listen(const std::string& path, mode_t permissions) {
  if (auto removed = remove_stale(path); !removed) return tl::unexpected(removed.error());
  UniqueFd fd = stream_socket();
  if (!fd) return failed(path, "no socket");
  // The permissions before the file is there: bind gives it these, less the umask, so that nobody slips in between.
  ::fchmod(fd.get(), permissions);
  const sockaddr_un address = address_of(path);
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return failed(path, "cannot make the socket");
  }
  struct stat info {};
  if (::chmod(path.c_str(), permissions) != 0 || ::lstat(path.c_str(), &info) != 0 ||
      ::listen(fd.get(), kBacklog) != 0) {
    const auto error = failed(path, "cannot listen");
    ::unlink(path.c_str());
    return error;
  }
  return ListenSocket(std::move(fd), path, info.st_dev, info.st_ino, true);
}

tl::expected<ListenSocket, std::string> ListenSocket::adopt(UniqueFd fd, const std::string& path, std::uint64_t device,
                                                            std::uint64_t inode) {
  sockaddr_un address{};
  socklen_t size = sizeof address;
  int listens = 0;
  socklen_t word = sizeof listens;
  if (::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0 ||
      ::getsockopt(fd.get(), SOL_SOCKET, SO_ACCEPTCONN, &listens, &word) != 0) {
    return failed(path, "what was left of it is no socket");
  }
  const sockaddr_un wanted = address_of(path);
  if (listens == 0 || std::strncmp(address.sun_path, wanted.sun_path, sizeof address.sun_path) != 0) {
    return tl::unexpected("path '" + path + "': the socket that was left does not listen there");
  }
  return ListenSocket(std::move(fd), path, device, inode, false);
}

bool ListenSocket::has_file() const {
  struct stat info {};
  return ::lstat(path_.c_str(), &info) == 0 && info.st_dev == device_ && info.st_ino == inode_;
}

ListenSocket::~ListenSocket() {
  if (fd_ && ours_) remove_socket(path_, device_, inode_);  // no fd: moved from
}

void remove_socket(const std::string& path, std::uint64_t device, std::uint64_t inode) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) == 0 && info.st_dev == device && info.st_ino == inode) ::unlink(path.c_str());
}

tl::expected<UniqueFd, int> connect_to(const std::string& path) {
  UniqueFd fd = stream_socket();
  if (!fd) return tl::unexpected(errno);
  const sockaddr_un address = address_of(path);
  // A UNIX socket connects at once or not at all; non-blocking, a full backlog is EAGAIN.
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return tl::unexpected(errno);
  }
  return fd;
}

}  // namespace sluice::ports::vhost
