#include "ports/ethdev/peer_socket.hpp"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>

#include "ports/unique_fd.hpp"

namespace sluice::ports::ethdev {
namespace {

/// errno of an attempt to connect that cannot succeed: devices listen on sockets of another kind (SOCK_SEQPACKET). The
/// kernel finds out whether a socket is bound there at all before it looks at the kind.
int attempt(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  const UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return errno;
  return ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 ? 0 : errno;
}

}  // namespace

bool is_served(const std::string& path) { return attempt(path) == EPROTOTYPE; }

void remove_stale_socket(const std::string& path) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0 || !S_ISSOCK(info.st_mode)) return;
  if (attempt(path) == ECONNREFUSED) ::unlink(path.c_str());
}

}  // namespace sluice::ports::ethdev
