// The clock that PMDs and the slow path share: nanoseconds since an arbitrary moment, from the time stamp counter.
// One multiplication, no system call. Replay has a clock of its own: nothing below takes the time by itself.
#pragma once

#include <cstdint>

namespace sluice::datapath {

/// Monotonic and the same on every core (constant, synchronised TSC). EAL must have been started.
[[nodiscard]] std::uint64_t now_ns();

}  // namespace sluice::datapath
