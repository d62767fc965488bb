// hex: numbers as the vhost-user document writes addresses and features, for messages to people.
#pragma once

#include <array>
#include <charconv>
#include <cstdint>
#include <string>

namespace sluice::ports::vhost {

/// "0x1f"
[[nodiscard]] inline std::string hex(std::uint64_t n) {
  std::array<char, 18> text{'0', 'x'};
  return {text.data(), std::to_chars(text.data() + 2, text.data() + text.size(), n, 16).ptr};
}

}  // namespace sluice::ports::vhost
