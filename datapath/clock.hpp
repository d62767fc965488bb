// The clock that PMDs and the slow path share: nanoseconds since an arbitrary moment, from the time stamp counter.
// One multiplication, no system call. Replay has a clock of its own: nothing below takes the time by itself.
#pragma once

#include <cstdint>

namespace sluice::datapath {

/// Monotonic and the same on every core (constant, synchronised TSC). EAL must have been started.
[[nodiscard]] std::uint64_t now_ns();

/// What the time stamp counter says at a time of now_ns(), and the other way round: two processes' nanoseconds differ,
/// as each has measured for itself how fast that counter is.
[[nodiscard]] std::uint64_t tsc_at(std::uint64_t ns);
[[nodiscard]] std::uint64_t ns_at(std::uint64_t tsc);

}  // namespace sluice::datapath
