// Words as they are in a frame: big-endian, at any address.
#pragma once

#include <cstdint>
#include <cstring>

namespace sluice::datapath {

/// Host order to wire order, and back.
constexpr std::uint16_t be(std::uint16_t word) { return static_cast<std::uint16_t>((word << 8U) | (word >> 8U)); }

/// The 16 bits at `p`, as they are.
[[nodiscard]] inline std::uint16_t load_be16(const std::uint8_t* p) {
  std::uint16_t word = 0;
  std::memcpy(&word, p, sizeof word);
  return word;
}

/// The bits at `p`, in host order.
[[nodiscard]] inline std::uint16_t read_be16(const std::uint8_t* p) { return be(load_be16(p)); }
[[nodiscard]] inline std::uint32_t read_be32(const std::uint8_t* p) {
  return static_cast<std::uint32_t>(read_be16(p)) << 16U | read_be16(p + 2);
}

inline void write_be16(std::uint8_t* p, std::uint16_t value) {
  const std::uint16_t word = be(value);
  std::memcpy(p, &word, sizeof word);
}
inline void write_be32(std::uint8_t* p, std::uint32_t value) {
  write_be16(p, static_cast<std::uint16_t>(value >> 16U));
  write_be16(p + 2, static_cast<std::uint16_t>(value & 0xffffU));
}

}  // namespace sluice::datapath
