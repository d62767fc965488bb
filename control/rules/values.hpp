// values: the values that fields and actions have, as text and as bytes. Pure functions.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "flowtable/flow_key.hpp"

namespace sluice::control {

using Ipv4 = std::array<std::uint8_t, 4>;
using Ipv6 = std::array<std::uint8_t, 16>;

/// Decimal, or hexadecimal with 0x. No sign, and no leading zeros: "010" is ten for some and eight for others.
[[nodiscard]] std::optional<std::uint64_t> read_number(std::string_view text);
/// "02:00:00:00:00:01"; single digits are fine.
[[nodiscard]] std::optional<flowtable::MacAddress> read_mac(std::string_view text);
[[nodiscard]] std::optional<Ipv4> read_ipv4(std::string_view text);
[[nodiscard]] std::optional<Ipv6> read_ipv6(std::string_view text);

/// The mask of a prefix length, at most 8 * N.
template <std::size_t N>
[[nodiscard]] std::array<std::uint8_t, N> prefix_mask(std::size_t length) {
  std::array<std::uint8_t, N> mask{};
  for (std::size_t i = 0; i < N; ++i) {
    const std::size_t bits = length < 8 * i ? 0 : (length - 8 * i < 8 ? length - 8 * i : 8);
    mask[i] = static_cast<std::uint8_t>(0xff00U >> bits);
  }
  return mask;
}

/// The length if the mask is a prefix's.
template <std::size_t N>
[[nodiscard]] std::optional<std::size_t> prefix_length(const std::array<std::uint8_t, N>& mask) {
  std::size_t length = 0;
  for (const auto byte : mask) length += static_cast<std::size_t>(std::popcount(byte));
  if (prefix_mask<N>(length) != mask) return std::nullopt;
  return length;
}

[[nodiscard]] std::string write_mac(const flowtable::MacAddress& mac);
[[nodiscard]] std::string write_ipv4(const Ipv4& address);
[[nodiscard]] std::string write_ipv6(const Ipv6& address);
/// "10.0.0.0/24", "10.0.0.0/255.0.255.0", or the address alone if all of it counts.
[[nodiscard]] std::string write_ipv4(const Ipv4& address, const Ipv4& mask);
[[nodiscard]] std::string write_ipv6(const Ipv6& address, const Ipv6& mask);

}  // namespace sluice::control
