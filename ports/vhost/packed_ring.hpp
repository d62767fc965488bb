// PackedRing: the device's side of a packed virtqueue (virtio 1.2, section 2.8), for the length of one verb. The same
// members as SplitRing.
//
// Driver and device share one array of descriptors; whose turn a slot is, two flag bits say, compared with wrap
// counters that flip each time round. A chain is consecutive slots; its id is in the last one. The device answers a
// chain with one used descriptor, written where its own counter stands, and skips as many slots as the chain had.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "ports/vhost/chain.hpp"
#include "ports/vhost/vhost_queue.hpp"

namespace sluice::ports::vhost {

class PackedRing {
 public:
  struct Chain {
    RawDesc first;
    std::uint16_t slot;  ///< of the first descriptor
    std::uint16_t id;
    std::uint16_t descriptors;  ///< slots the chain takes
    bool valid;                 ///< false: the chain has no end; the ring is broken

    [[nodiscard]] std::uint16_t flags() const { return first.high; }
  };
  struct Mark {
    std::uint16_t slot;
    std::uint8_t wrap;
  };

  PackedRing(VhostQueue& queue, const Vring& vring, const RingPosition& position)
      : queue_(queue),
        vring_(vring),
        avail_{position.next_avail, position.avail_wrap},
        used_{position.next_used, position.used_wrap},
        first_used_(used_) {}

  /// How many slots are available, at most `max`: as many chains as that may follow, or fewer that are longer.
  unsigned ready(unsigned max) {
    unsigned n = 0;
    for (Mark at = avail_; n < max && slot_available(at); ++n) advance(at, 1);
    return n;
  }
  void prefetch(unsigned /*n*/) const {}  // ready() has read the slots
  /// Whether there is a chain to take.
  [[nodiscard]] bool more() const { return slot_available(avail_); }

  /// Whether take() can go on behind a chain that is not valid: not here, its end is unknown.
  [[nodiscard]] static constexpr bool resumable() { return false; }

  Chain take() {
    Chain chain{};
    chain.slot = avail_.slot;
    chain.descriptors = 1;
    RawDesc desc = read_desc(&vring_.packed_desc[avail_.slot]);
    chain.first = desc;
    std::uint16_t slot = avail_.slot;
    while ((desc.high & kDescNext) != 0 && (desc.high & kDescIndirect) == 0) {
      if (chain.descriptors == vring_.size || chain.descriptors == kMaxSlots) {  // it has no end, or none worth finding
        queue_.broken = true;
        queue_.guest_errors.add();
        return chain;
      }
      slot = static_cast<std::uint16_t>(slot + 1 == static_cast<int>(vring_.size) ? 0 : slot + 1);
      desc = read_desc(&vring_.packed_desc[slot]);
      ++chain.descriptors;
    }
    chain.id = desc.low;
    chain.valid = true;
    advance(avail_, chain.descriptors);
    return chain;
  }

  Walk walk(const Chain& chain, Direction direction, std::span<Piece> out) const {
    PieceCollector collect(*vring_.memory, queue_.region_hint, direction, out);
    if ((chain.first.high & kDescIndirect) != 0) {
      walk_indirect(chain.first, collect);
      return collect.walk();
    }
    RawDesc desc = chain.first;
    std::uint16_t slot = chain.slot;
    // As many slots as take() has counted, whatever the flags say by now.
    for (std::uint16_t i = 0; collect.add(desc.addr, desc.len, desc.high) && ++i < chain.descriptors;) {
      slot = static_cast<std::uint16_t>(slot + 1 == static_cast<int>(vring_.size) ? 0 : slot + 1);
      desc = read_desc(&vring_.packed_desc[slot]);
      if ((desc.high & kDescIndirect) != 0) {
        collect.fail(ChainError::malformed);
        break;
      }
    }
    return collect.walk();
  }

  [[nodiscard]] Mark mark() const { return avail_; }
  void rewind(Mark mark) { avail_ = mark; }

  void use(std::uint16_t id, std::uint16_t descriptors, std::uint32_t len) {
    packed::Desc& desc = vring_.packed_desc[used_.slot];
    // The address is left as it is; relaxed: the flags come behind.
    __atomic_store_n(&desc.id, id, __ATOMIC_RELAXED);
    __atomic_store_n(&desc.len, len, __ATOMIC_RELAXED);
    const std::uint16_t flags = static_cast<std::uint16_t>((used_.wrap != 0 ? packed::kAvail | packed::kUsed : 0) |
                                                           (len != 0 ? kDescWrite : 0));
    if (used_.slot == first_used_.slot && used_.wrap == first_used_.wrap) {
      first_flags_ = flags;  // publish() writes it last: the driver looks at this slot first
    } else {
      // release: id and len come first.
      __atomic_store_n(&desc.flags, flags, __ATOMIC_RELEASE);
    }
    if (vring_.log_used) [[unlikely]] {
      vring_.log->mark(vring_.log_used_addr + std::size_t{used_.slot} * sizeof desc, sizeof desc);
    }
    advance(used_, descriptors);
  }

  bool publish() {
    if (used_.slot == first_used_.slot && used_.wrap == first_used_.wrap) return false;
    // release: everything this burst has written comes before the one flag word that lets the driver go on.
    __atomic_store_n(&vring_.packed_desc[first_used_.slot].flags, first_flags_, __ATOMIC_RELEASE);
    // Again, behind this write: a page that was sent after use() had marked it is to be sent once more.
    if (vring_.log_used) [[unlikely]] {
      vring_.log->mark(vring_.log_used_addr + std::size_t{first_used_.slot} * sizeof(packed::Desc),
                       sizeof(packed::Desc));
    }
    return true;
  }

  /// Section 2.8.14. Behind a full barrier, for the reason SplitRing gives.
  [[nodiscard]] bool interrupt_wanted() const {
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    const std::uint16_t flags = __atomic_load_n(&vring_.driver_event->flags, __ATOMIC_RELAXED) & 3U;
    if (flags != packed::kEventDesc || !vring_.event_idx) return flags == packed::kEventEnable;
    const std::uint16_t off_wrap = __atomic_load_n(&vring_.driver_event->off_wrap, __ATOMIC_RELAXED);
    // Positions as distances: the driver asks for the slot `event`; was it passed between first_used_ and used_?
    const auto size = static_cast<std::uint16_t>(vring_.size);
    auto event = static_cast<std::uint16_t>(off_wrap & 0x7fffU);
    if ((off_wrap >> 15U) != used_.wrap) event = static_cast<std::uint16_t>(event - size);
    auto old_slot = first_used_.slot;
    if (first_used_.wrap != used_.wrap) old_slot = static_cast<std::uint16_t>(old_slot - size);
    return static_cast<std::uint16_t>(used_.slot - event - 1) < static_cast<std::uint16_t>(used_.slot - old_slot);
  }

  [[nodiscard]] RingPosition position() const {
    return RingPosition{avail_.slot, used_.slot, avail_.wrap, used_.wrap, 0};
  }

 private:
  /// A frame has at most kMaxSegments pieces. A driver that makes chains of whole rings would have us read a million
  /// slots a burst, at the cost of the ports that share the PMD.
  static constexpr std::uint16_t kMaxSlots = 4 * kMaxSegments;

  [[nodiscard]] bool slot_available(Mark at) const {
    // acquire: the driver writes a chain's first flags last (section 2.8.21).
    const std::uint16_t flags = __atomic_load_n(&vring_.packed_desc[at.slot].flags, __ATOMIC_ACQUIRE);
    const bool avail = (flags & packed::kAvail) != 0;
    const bool used = (flags & packed::kUsed) != 0;
    return avail == (at.wrap != 0) && used != (at.wrap != 0);
  }
  void advance(Mark& at, std::uint16_t slots) const {
    unsigned next = unsigned{at.slot} + slots;
    if (next >= vring_.size) {
      next -= vring_.size;
      at.wrap ^= 1U;
    }
    at.slot = static_cast<std::uint16_t>(next);
  }

  void walk_indirect(const RawDesc& desc, PieceCollector& collect) const {
    // The table is as many descriptors as its length says; NEXT means nothing in it (section 2.8.8).
    if (!vring_.indirect || (desc.high & kDescNext) != 0 || desc.len == 0 || desc.len % sizeof(packed::Desc) != 0 ||
        desc.addr % alignof(packed::Desc) != 0) {
      collect.fail(ChainError::malformed);
      return;
    }
    const auto* table =
        reinterpret_cast<const packed::Desc*>(vring_.memory->translate(desc.addr, desc.len, queue_.table_hint));
    if (table == nullptr) {
      collect.fail(ChainError::malformed);
      return;
    }
    const std::uint32_t entries = desc.len / static_cast<std::uint32_t>(sizeof(packed::Desc));
    for (std::uint32_t i = 0; i < entries; ++i) {
      const RawDesc entry = read_desc(&table[i]);
      if ((entry.high & kDescIndirect) != 0) {
        collect.fail(ChainError::malformed);
        return;
      }
      if (!collect.add(entry.addr, entry.len, entry.high)) return;
    }
  }

  VhostQueue& queue_;
  const Vring& vring_;
  Mark avail_;
  Mark used_;
  const Mark first_used_;
  std::uint16_t first_flags_ = 0;
};

}  // namespace sluice::ports::vhost
