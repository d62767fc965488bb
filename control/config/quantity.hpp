// Quantities: how numbers, times and sizes are written in a configuration. One way each.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>

namespace sluice::control {

/// Decimal digits alone, without a leading zero: "0", "1500". Nothing for all else, and beyond 64 bits.
[[nodiscard]] std::optional<std::uint64_t> parse_integer(std::string_view text);

/// "300 s": digits and one of us, ms, s, min, h; the space may be missing.
[[nodiscard]] std::optional<std::chrono::microseconds> parse_duration(std::string_view text);

/// "256 MiB": digits and one of KiB, MiB, GiB, TiB; the space may be missing. In bytes.
[[nodiscard]] std::optional<std::uint64_t> parse_size(std::string_view text);

/// "10-20", both included, the first not greater than the second; "10" is a range of one.
[[nodiscard]] std::optional<std::pair<std::uint64_t, std::uint64_t>> parse_range(std::string_view text);

/// "10000 pps"; the space may be missing. Packets a second.
[[nodiscard]] std::optional<std::uint64_t> parse_packet_rate(std::string_view text);

}  // namespace sluice::control
