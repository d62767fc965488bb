// A UNIX socket's path, as ports and the control socket have it.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "control/config/mapping.hpp"

namespace sluice::control {

/// Reads the key as the path of a UNIX socket (unix(7): sun_path holds 107 bytes and a zero).
[[nodiscard]] std::optional<std::string> read_socket_path(Mapping& keys, std::string_view key);

/// What whoever is at the path claims (PortConfig::claims), however it is written.
[[nodiscard]] std::string path_claim(std::string_view path);

}  // namespace sluice::control
