// How used chains are shown to the driver of a packed ring, so that the process may die at any instant: they are
// written down in the ring's journal first, and whoever comes next finishes what it finds there.
#pragma once

#include <atomic>
#include <cstdint>

#include "ports/vhost/vring.hpp"

namespace sluice::ports::vhost {

/// A place in a packed ring (section 2.8.1).
struct PackedSlot {
  std::uint16_t slot;  ///< 0 to size - 1
  std::uint8_t wrap;   ///< 0 or 1

  /// At most a whole ring further on, or back.
  [[nodiscard]] PackedSlot behind(unsigned slots, std::uint32_t size) const {
    const unsigned next = slot + slots;
    return next < size ? PackedSlot{static_cast<std::uint16_t>(next), wrap}
                       : PackedSlot{static_cast<std::uint16_t>(next - size), static_cast<std::uint8_t>(wrap ^ 1U)};
  }
  [[nodiscard]] PackedSlot before(unsigned slots, std::uint32_t size) const {
    return slots <= slot
               ? PackedSlot{static_cast<std::uint16_t>(slot - slots), wrap}
               : PackedSlot{static_cast<std::uint16_t>(slot + size - slots), static_cast<std::uint8_t>(wrap ^ 1U)};
  }
};

/// Says that the first `count` chains of the journal are about to be shown, the ring standing at `from`.
inline void begin_showing(RingJournal& journal, const RingPosition& from, unsigned count) {
  journal.from = from;
  // release: what is to be shown is written down before it counts. The fence: and counts before the ring changes. To
  // a successor a killed process has done its stores in their order, so the compiler is all there is to hold.
  __atomic_store_n(&journal.count, count, __ATOMIC_RELEASE);
  std::atomic_signal_fence(std::memory_order_seq_cst);
}

/// What was written to this slot of the ring is in the dirty log.
inline void log_slot(const Vring& vring, PackedSlot at) {
  if (vring.log_used) [[unlikely]] {
    vring.log->mark(vring.log_used_addr + std::size_t{at.slot} * sizeof(packed::Desc), sizeof(packed::Desc));
  }
}

/// Shows them, and tells where the ring stands then.
inline PackedSlot show(const Vring& vring, const RingJournal& journal) {
  const PackedSlot first{journal.from.next_used, journal.from.used_wrap};
  PackedSlot at = first;
  // Length, id and flags of a slot are one word.
  const auto write = [&](PackedSlot to, const UsedChain& chain) {
    const auto flags = static_cast<std::uint64_t>((to.wrap != 0 ? packed::kAvail | packed::kUsed : 0) |
                                                  (chain.len != 0 ? kDescWrite : 0));
    const std::uint64_t word = std::uint64_t{chain.len} | std::uint64_t{chain.id} << 32U | flags << 48U;
    // release: the buffer's bytes come first, and for the first slot all the others.
    __atomic_store_n(reinterpret_cast<std::uint64_t*>(&vring.packed_desc[to.slot]) + 1, word, __ATOMIC_RELEASE);
    log_slot(vring, to);
  };
  for (std::uint32_t i = 0; i < journal.count; ++i) {
    if (i != 0) write(at, journal.chains[i]);
    at = at.behind(journal.chains[i].descriptors, vring.size);
  }
  write(first, journal.chains[0]);  // the driver looks at this slot first
  return at;
}

/// Everything is shown, and the ring's position says so.
inline void end_showing(RingJournal& journal) {
  std::atomic_signal_fence(std::memory_order_seq_cst);
  __atomic_store_n(&journal.count, 0U, __ATOMIC_RELEASE);
}

/// What a successor does before it publishes a packed ring: finishes what was being shown when the process before it
/// died. `progress` is made to say where the ring stands; all that was taken and not used is available again. What the
/// journal says is checked: false, and nothing is changed, if no ring of this size can be meant.
[[nodiscard]] bool finish_showing(const Vring& vring, RingProgress& progress);

}  // namespace sluice::ports::vhost
