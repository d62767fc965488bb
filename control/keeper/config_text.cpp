#include "control/keeper/config_text.hpp"

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace sluice::control {

using ports::UniqueFd;

namespace {

tl::unexpected<Error> failed(const char* what) {
  return tl::unexpected(
      Error{fmt::format("the configuration's text cannot be kept: {}: {}", what, std::strerror(errno))});
}

}  // namespace

Expected<UniqueFd> keep_config_text(std::string_view text) {
  UniqueFd fd(::memfd_create("sluice-configuration", MFD_CLOEXEC));
  if (!fd) return failed("memfd_create");
  // A file in memory takes what it is given at once, or has no room.
  if (::write(fd.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) return failed("write");
  return fd;
}

Expected<std::string> kept_config_text(int fd) {
  const off_t size = ::lseek(fd, 0, SEEK_END);
  if (size < 0) return failed("lseek");
  std::string text(static_cast<std::size_t>(size), '\0');
  if (::pread(fd, text.data(), text.size(), 0) != size) return failed("pread");
  return text;
}

}  // namespace sluice::control
