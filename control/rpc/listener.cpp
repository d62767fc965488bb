// ListeningSocket. See listener.hpp.
#include "control/rpc/listener.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>

#include <fmt/format.h>

namespace sluice::control {
namespace {

tl::unexpected<Error> failed(std::string message) { return tl::make_unexpected(Error{std::move(message)}); }

tl::unexpected<Error> failed(const std::string& path, std::string_view what, int error) {
  return failed(fmt::format("control socket '{}': {}: {}", path, what, std::strerror(error)));
}

/// Held while it is found out whether the socket is in use and a new one is put in its place, so that of two that
/// start at once one sees the other. A lock on the directory leaves no file behind.
class DirectoryLock {
 public:
  explicit DirectoryLock(const std::string& directory)
      : fd_(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
    // Anybody may hold a lock on a directory that he can read: such a one delays us and no more.
    constexpr int kTries = 20;
    for (int i = 0; fd_ >= 0 && i < kTries && ::flock(fd_, LOCK_EX | LOCK_NB) != 0; ++i) ::usleep(50'000);
  }
  ~DirectoryLock() {
    if (fd_ >= 0) ::close(fd_);
  }
  DirectoryLock(const DirectoryLock&) = delete;
  DirectoryLock& operator=(const DirectoryLock&) = delete;

 private:
  int fd_;
};

enum class Listens : std::uint8_t {
  nobody,
  somebody,
  remains,  ///< of a switch whose keeper has died, and which is about to go as well
};

/// Who listens at the address, or why that cannot be told.
tl::expected<Listens, int> listener_at(const sockaddr_un& address) {
  const ports::UniqueFd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!probe) return tl::unexpected(errno);
  if (::connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    if (errno == ECONNREFUSED) return Listens::nobody;
    if (errno == EAGAIN) return Listens::somebody;  // its backlog is full
    return tl::unexpected(errno);
  }
  // Of who called listen(): the keeper.
  ucred owner{};
  socklen_t size = sizeof owner;
  const bool known = ::getsockopt(probe.get(), SOL_SOCKET, SO_PEERCRED, &owner, &size) == 0 && owner.pid > 0;
  return known && ::kill(owner.pid, 0) != 0 && errno == ESRCH ? Listens::remains : Listens::somebody;
}

/// Where a socket listens; empty if it does not.
std::string path_of(int fd) {
  sockaddr_un address{};
  socklen_t size = sizeof address;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) return {};
  return address.sun_path;
}

/// Takes away what is at the path, if it is a socket that nobody listens on.
Expected<void> clear(const std::string& path, const sockaddr_un& address) {
  struct stat status {};
  if (::lstat(path.c_str(), &status) != 0) {
    if (errno == ENOENT) return {};
    return failed(path, "cannot be looked at", errno);
  }
  if (!S_ISSOCK(status.st_mode)) {
    return failed(
        fmt::format("control socket '{}': there is a file that is no socket; remove it, or name another path", path));
  }
  auto listens = listener_at(address);
  constexpr int kTries = 100;
  for (int i = 0; i < kTries && listens && *listens == Listens::remains; ++i) {
    ::usleep(10'000);
    listens = listener_at(address);
  }
  if (!listens) return failed(path, "cannot find out whether it is in use", listens.error());
  if (*listens != Listens::nobody) {
    return failed(
        fmt::format("another sluice listens on '{}': stop it, or give this one another socket (--socket PATH)", path));
  }
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) return failed(path, "is left over and cannot be removed", errno);
  return {};
}

}  // namespace

Expected<ListeningSocket> ListeningSocket::open(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path) {
    return failed(fmt::format("control socket '{}': the path is {} bytes long, a UNIX socket path holds 1 to {}", path,
                              path.size(), sizeof address.sun_path - 1));
  }
  path.copy(address.sun_path, path.size());

  const std::filesystem::path parent = std::filesystem::path(path).parent_path();
  const std::string directory = parent.empty() ? "." : parent.string();
  if (::mkdir(directory.c_str(), 0755) != 0 && errno != EEXIST) {
    return failed(path, fmt::format("its directory '{}' cannot be made", directory), errno);
  }
  const DirectoryLock lock(directory);
  if (auto cleared = clear(path, address); !cleared) return tl::make_unexpected(cleared.error());

  ListeningSocket socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), path);
  if (socket.fd_ < 0) return failed(path, "no socket to be had", errno);
  // Linux gives the file the mode that the descriptor has at bind(): there is no moment at which it is open to others.
  if (::fchmod(socket.fd_, 0600) != 0) return failed(path, "its mode cannot be set", errno);
  if (::bind(socket.fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return failed(path, "cannot be made", errno);
  }
  struct stat status {};
  if (::lstat(path.c_str(), &status) != 0) return failed(path, "cannot be looked at", errno);
  socket.device_ = status.st_dev;
  socket.inode_ = status.st_ino;
  if (::listen(socket.fd_, SOMAXCONN) != 0) return failed(path, "cannot be listened on", errno);
  return socket;
}

ListeningSocket ListeningSocket::borrowed(ports::UniqueFd fd) {
  std::string path = path_of(fd.get());
  return {fd.release(), std::move(path)};
}

Expected<ListeningSocket> ListeningSocket::open_or_adopt(ports::UniqueFd fd, const std::string& path) {
  struct stat status {};
  if (fd && path == path_of(fd.get()) && ::lstat(path.c_str(), &status) == 0) {
    ListeningSocket socket(fd.release(), path);
    socket.device_ = status.st_dev;
    socket.inode_ = status.st_ino;
    return socket;
  }
  fd.reset();
  return open(path);
}

ListeningSocket::ListeningSocket(ListeningSocket&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), path_(std::move(other.path_)), device_(other.device_), inode_(other.inode_) {}

ListeningSocket::~ListeningSocket() {
  if (fd_ < 0) return;
  struct stat status {};
  if (inode_ != 0 && ::lstat(path_.c_str(), &status) == 0 && status.st_dev == device_ && status.st_ino == inode_) {
    ::unlink(path_.c_str());
  }
  ::close(fd_);
}

}  // namespace sluice::control
