// Chain: one descriptor chain as the driver made it available, and the walk that turns it into pieces of memory.
//
// Nothing a driver writes is trusted: each descriptor is read once into a private copy, every address is translated
// with its length, and every walk is bounded.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>

#include "ports/frame.hpp"
#include "ports/vhost/guest_memory.hpp"
#include "ports/vhost/virtio.hpp"

namespace sluice::ports::vhost {

/// A descriptor, split or packed: both have address and length first. `low` and `high` are the two 16-bit words
/// behind them: flags and next (split), id and flags (packed).
struct RawDesc {
  std::uint64_t addr;
  std::uint32_t len;
  std::uint16_t low;
  std::uint16_t high;
};
static_assert(sizeof(RawDesc) == sizeof(split::Desc) && sizeof(RawDesc) == sizeof(packed::Desc));

/// Reads a descriptor from guest memory exactly once.
template <typename Desc>
inline RawDesc read_desc(const Desc* desc) {
  // relaxed: order comes from the ring's index or flags; atomic so that the compiler cannot read twice.
  const auto* words = reinterpret_cast<const std::uint64_t*>(desc);
  const std::uint64_t copy[2] = {__atomic_load_n(words, __ATOMIC_RELAXED),
                                 __atomic_load_n(words + 1, __ATOMIC_RELAXED)};
  RawDesc out{};
  std::memcpy(&out, copy, sizeof out);
  return out;
}

/// A chain of one plain descriptor, and where its memory is.
struct Buffer {
  std::uint8_t* data;
  std::uint64_t guest_phys_addr;
  std::uint32_t size;
  std::uint16_t id;
};

/// A piece of guest memory that one descriptor names.
struct Piece {
  std::uint8_t* data;
  std::uint32_t size;
  std::uint64_t guest_phys_addr;
};

enum class ChainError : std::uint8_t { none, malformed, too_long };

/// What is wrong with a chain, or how much is in it.
struct Walk {
  ChainError error = ChainError::none;
  std::uint32_t pieces = 0;
  std::uint32_t size = 0;  ///< bytes in all
};

/// Which half of a chain is asked for: what the driver wrote for us, or where we are to write.
enum class Direction : std::uint16_t { from_driver = 0, to_driver = kDescWrite };

/// Collects pieces; the checks that hold for every descriptor of every ring.
class PieceCollector {
 public:
  PieceCollector(const GuestMemory& memory, Window& hint, Direction direction, std::span<Piece> out)
      : memory_(memory), hint_(hint), direction_(direction), out_(out) {}

  /// False ends the walk; walk() says why.
  bool add(std::uint64_t addr, std::uint32_t len, std::uint16_t flags) {
    if ((flags & kDescWrite) != static_cast<std::uint16_t>(direction_) || len == 0) return fail(ChainError::malformed);
    if (walk_.pieces == out_.size() || len > kMaxChainSize - walk_.size) return fail(ChainError::too_long);
    std::uint8_t* data = memory_.translate(addr, len, hint_);
    if (data == nullptr) return fail(ChainError::malformed);
    out_[walk_.pieces++] = Piece{data, len, addr};
    walk_.size += len;
    return true;
  }
  bool fail(ChainError error) {
    walk_.error = error;
    return false;
  }
  [[nodiscard]] const Walk& walk() const { return walk_; }

 private:
  /// No frame is longer, but a receive buffer may be: guests post up to 64 KiB and a bit; beyond 1 MiB it is nonsense.
  static constexpr std::uint32_t kMaxChainSize = 1U << 20U;

  const GuestMemory& memory_;
  Window& hint_;
  Direction direction_;
  std::span<Piece> out_;
  Walk walk_;
};

}  // namespace sluice::ports::vhost
