// Virtio and vhost-user feature bits in words, for people.
#pragma once

#include <cstdint>
#include <string>

namespace sluice::ports::vhost {

/// The names of virtio 1.2 of all bits that are set, separated by spaces; bits without a name as "bit N".
[[nodiscard]] std::string feature_names(std::uint64_t features);
/// Likewise for VHOST_USER_PROTOCOL_F_*.
[[nodiscard]] std::string protocol_feature_names(std::uint64_t features);

}  // namespace sluice::ports::vhost
