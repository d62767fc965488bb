#include "ports/vhost/eventfd.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace sluice::ports::vhost {

tl::expected<void, std::string> take_eventfd(int fd) {
  std::array<char, 64> target{};
  const std::string link = "/proc/self/fd/" + std::to_string(fd);
  const ssize_t length = ::readlink(link.c_str(), target.data(), target.size() - 1);
  if (length < 0 || std::string(target.data()) != "anon_inode:[eventfd]") {
    return tl::unexpected("the fd is '" + std::string(target.data()) + "', an eventfd is needed");
  }
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0 || ::fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0) {
    return tl::unexpected(std::string("the eventfd cannot be made non-blocking: ") + std::strerror(errno));
  }
  return {};
}

}  // namespace sluice::ports::vhost
