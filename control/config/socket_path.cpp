#include "control/config/socket_path.hpp"

#include <sys/un.h>

#include <filesystem>

#include <fmt/format.h>

namespace sluice::control {

std::optional<std::string> read_socket_path(Mapping& keys, std::string_view key) {
  constexpr std::size_t kLongest = sizeof(sockaddr_un::sun_path) - 1;
  auto path = keys.text(key);
  if (!path) return std::nullopt;
  if (path->size() > kLongest) {
    keys.wrong(key, fmt::format("{} {} is {} bytes long, a UNIX socket path holds {}", key, in_quotes(*path),
                                path->size(), kLongest));
    return std::nullopt;
  }
  for (const char c : *path) {
    if (static_cast<unsigned char>(c) >= 0x20 && c != 0x7f) continue;
    keys.wrong(key, fmt::format("{} {} has a control character in it", key, in_quotes(*path)));
    return std::nullopt;
  }
  if (path->ends_with('/')) {
    keys.wrong(key, fmt::format("{} {} is a folder; right is the socket's own path, such as {}vm1.sock", key,
                                in_quotes(*path), *path));
    return std::nullopt;
  }
  return path;
}

std::string path_claim(std::string_view path) {
  return "path " + std::filesystem::path(path).lexically_normal().string();
}

}  // namespace sluice::control
