#include "ports/vhost/used_journal.hpp"

namespace sluice::ports::vhost {
namespace {

/// Whether the journal's chains can have been taken from a ring of `size` slots.
bool plausible(const RingJournal& journal, std::uint32_t size) {
  if (journal.count > RingJournal::kCapacity || journal.from.next_used >= size || journal.from.used_wrap > 1) {
    return false;
  }
  std::uint32_t slots = 0;
  for (std::uint32_t i = 0; i < journal.count; ++i) {
    const std::uint32_t descriptors = journal.chains[i].descriptors;
    if (descriptors == 0 || descriptors > size - slots) return false;
    slots += descriptors;
  }
  return true;
}

/// Whether the first slot was written: the used bit of a slot that the driver has made available differs from the wrap
/// counter of that round, and is the same from the write on, also when the driver has made the slot available again.
bool shown(const Vring& vring, PackedSlot first) {
  const std::uint16_t flags = __atomic_load_n(&vring.packed_desc[first.slot].flags, __ATOMIC_ACQUIRE);
  return ((flags & packed::kUsed) != 0) == (first.wrap != 0);
}

}  // namespace

bool finish_showing(const Vring& vring, RingProgress& progress) {
  RingJournal& journal = progress.journal;
  if (!plausible(journal, vring.size)) return false;
  PackedSlot at{progress.position.next_used, progress.position.used_wrap};
  if (journal.count != 0) {
    at = PackedSlot{journal.from.next_used, journal.from.used_wrap};
    if (shown(vring, at)) {
      for (std::uint32_t i = 0; i < journal.count; ++i) {
        log_slot(vring, at);  // whoever wrote it may have died before it did
        at = at.behind(journal.chains[i].descriptors, vring.size);
      }
    } else {
      at = show(vring, journal);
    }
  } else if (at.slot >= vring.size || at.wrap > 1) {
    return false;
  }
  progress.position = RingPosition{at.slot, at.slot, at.wrap, at.wrap, 0};
  end_showing(journal);
  return true;
}

}  // namespace sluice::ports::vhost
