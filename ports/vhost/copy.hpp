// Copying frames. Sizes are exact: a byte too many read from a guest's buffer may be outside of its memory, a byte too
// many written into one may belong to another guest's frame.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

namespace sluice::ports::vhost {

/// Copies n bytes; quick for the sizes that heads have. It moves whole words and vectors, the last one
/// overlapping the one before, so there is no loop over a tail and no call; in the loops that copy, nothing is saved
/// and restored for it.
[[gnu::always_inline]] inline void copy_bytes(std::uint8_t* to, const std::uint8_t* from, std::uint32_t n) {
  const auto both_ends = [to, from, n](auto size) {
    std::memcpy(to, from, size);
    std::memcpy(to + n - size, from + n - size, size);
  };
  if (n >= 32) {
    if (n <= 64) {
      both_ends(std::integral_constant<std::size_t, 32>());
    } else if (n <= 256) {
      if (n > 128) std::memcpy(to + 64, from + 64, 64);
      if (n > 192) std::memcpy(to + 128, from + 128, 64);
      both_ends(std::integral_constant<std::size_t, 64>());
    } else {
      std::memmove(to, from, n);  // two buffers of one guest may overlap; libc picks the machine's best
    }
  } else if (n >= 16) {
    both_ends(std::integral_constant<std::size_t, 16>());
  } else if (n >= 8) {
    both_ends(std::integral_constant<std::size_t, 8>());
  } else if (n >= 4) {
    both_ends(std::integral_constant<std::size_t, 4>());
  } else {
    for (std::uint32_t i = 0; i < n; ++i) to[i] = from[i];
  }
}

inline constexpr std::uint32_t kCacheLine = 64;

/// Brings a cache line in to be written. The compiler's own prefetch knows only the kind for reading on the machines we
/// build for, after which the first store still has to take the line from the guest's core. A processor without the
/// instruction takes it for a no-op.
inline void prefetch_to_write(const void* line) {
  asm volatile("prefetchw %0" : : "m"(*static_cast<const std::uint8_t*>(line)));
}

/// The same to be read. As an instruction: GCC 12 takes a function that does nothing but its own prefetch for one that
/// does nothing, and leaves the call out.
inline void prefetch_to_read(const void* line) {
  asm volatile("prefetcht0 %0" : : "m"(*static_cast<const std::uint8_t*>(line)));
}

/// After guest memory was copied to private memory: keeps the compiler from reading the guest's bytes again where
/// the program reads the copy. A guest could have changed them in between.
inline void private_copy_done() { asm volatile("" ::: "memory"); }

}  // namespace sluice::ports::vhost
