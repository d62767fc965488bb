// The simple Internet mix: of 12 frames, 7 of 64 bytes, 4 of 594 and 1 of 1518, spread out evenly.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace sluice::vmgen {

constexpr std::array<std::uint32_t, 3> kImixSizes{64, 594, 1518};
/// Indices of kImixSizes, in turn.
constexpr std::array<std::uint8_t, 12> kImixTurn{0, 1, 0, 0, 1, 0, 2, 0, 1, 0, 0, 1};

}  // namespace sluice::vmgen
