// PackedRing: the device's side of a packed virtqueue (virtio 1.2, section 2.8), for the length of one verb. The same
// members as SplitRing.
//
// Driver and device share one array of descriptors; whose turn a slot is, two flag bits say, compared with wrap
// counters that flip each time round. A chain is consecutive slots; its id is in the last one. The device answers a
// chain with one used descriptor, written where its own counter stands, and skips as many slots as the chain had.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "ports/vhost/chain.hpp"
#include "ports/vhost/used_journal.hpp"
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
  };
  using Mark = PackedSlot;

  PackedRing(VhostQueue& queue, const Vring& vring, const RingPosition& position)
      : queue_(queue),
        vring_(vring),
        ring_(vring.packed_desc),
        journal_(vring.progress->journal),
        size_(vring.size),
        avail_{position.next_avail, position.avail_wrap},
        used_{position.next_used, position.used_wrap} {
    count_left();
  }

  void skip(unsigned chains) {
    avail_ = avail_.behind(chains, size_);
    left_ -= chains;
  }

  /// Nothing to look at: each slot says for itself whether it is available.
  void look() {}
  [[nodiscard]] bool more() const { return left_ != 0 && available(avail_, second_word(avail_.slot)); }

  template <Direction direction, typename Found>
  [[gnu::always_inline]] void take_plain(unsigned most, Window& hint, Found found) {
    Window window = hint;
    PackedSlot at = avail_;
    unsigned left = left_;
    for (; most != 0 && left != 0; --most, --left, at = at.behind(1, size_)) {
      // One read of the word that has the flags, so that length and id are what the flags were written with.
      const std::uint64_t word = second_word(at.slot);
      constexpr auto kKind = std::uint64_t{kDescNext | kDescIndirect | kDescWrite} << 48U;
      if ((word & kKind) != std::uint64_t{static_cast<std::uint16_t>(direction)} << 48U) break;
      const auto len = static_cast<std::uint32_t>(word);
      if (!available(at, word) || len == 0) break;
      const std::uint64_t addr = __atomic_load_n(&ring_[at.slot].addr, __ATOMIC_RELAXED);
      std::uint8_t* const data = vring_.memory->translate(addr, len, window);
      if (data == nullptr) [[unlikely]]
        break;
      found(Buffer{data, addr, len, static_cast<std::uint16_t>(word >> 32U)});
    }
    hint = window;
    avail_ = at;
    left_ = left;
  }

  /// Is where a copy of it is that has taken and used chains.
  void go_on_from(const PackedRing& other) {
    avail_ = other.avail_;
    left_ = other.left_;
    pending_ = other.pending_;
  }

  /// Whether take() can go on behind a chain that is not valid: not here, its end is unknown.
  [[nodiscard]] static constexpr bool resumable() { return false; }

  Chain take() {
    Chain chain{};
    chain.slot = avail_.slot;
    chain.descriptors = 1;
    RawDesc desc = read_desc(&ring_[avail_.slot]);
    chain.first = desc;
    std::uint16_t slot = avail_.slot;
    while ((desc.high & kDescNext) != 0 && (desc.high & kDescIndirect) == 0) {
      if (chain.descriptors == std::min<unsigned>(left_, kMaxSlots)) {  // it has no end, or none worth finding
        queue_.broken = true;
        queue_.guest_errors.add();
        return chain;
      }
      slot = next(slot);
      desc = read_desc(&ring_[slot]);
      ++chain.descriptors;
    }
    chain.id = desc.low;
    chain.valid = true;
    avail_ = avail_.behind(chain.descriptors, size_);
    left_ -= chain.descriptors;
    return chain;
  }

  Walk walk(const Chain& chain, Direction direction, std::span<Piece> out) const {
    PieceCollector collect(*vring_.memory, queue_.ahead.buffers_in, direction, out);
    if ((chain.first.high & kDescIndirect) != 0) {
      walk_indirect(chain.first, direction, collect);
      return collect.walk();
    }
    RawDesc desc = chain.first;
    std::uint16_t slot = chain.slot;
    // As many slots as take() has counted, whatever the flags say by now.
    for (std::uint16_t i = 0; collect.add(desc.addr, desc.len, desc.high) && ++i < chain.descriptors;) {
      slot = next(slot);
      desc = read_desc(&ring_[slot]);
      if ((desc.high & kDescIndirect) != 0) {
        collect.fail(ChainError::malformed);
        break;
      }
    }
    return collect.walk();
  }

  [[nodiscard]] Mark mark() const { return avail_; }
  void rewind(Mark mark) {
    avail_ = mark;
    count_left();
  }
  void give_back(unsigned chains) {
    avail_ = avail_.before(chains, size_);
    left_ += chains;
  }

  /// Used chains that fit before publish() has to be called.
  [[nodiscard]] unsigned room() const { return RingJournal::kCapacity - pending_; }
  void use(const UsedChain& chain) { journal_.chains[pending_++] = chain; }

  bool publish() {
    if (pending_ == 0) return false;
    begin_showing(journal_, RingPosition{0, used_.slot, 0, used_.wrap, 0}, pending_);
    used_ = show(vring_, journal_);
    count_left();
    pending_ = 0;
    return true;
  }

  [[nodiscard]] RingPosition position(unsigned ahead) const {
    const PackedSlot avail = avail_.before(ahead, size_);
    return RingPosition{avail.slot, used_.slot, avail.wrap, used_.wrap, 0};
  }
  void settle(const RingPosition& position) const {
    store_position(*vring_.progress, position);
    end_showing(journal_);
  }

  /// Section 2.8.14.
  [[nodiscard]] static bool interrupt_wanted(const Vring& vring, const RingPosition& from, const RingPosition& to) {
    const std::uint16_t flags = __atomic_load_n(&vring.driver_event->flags, __ATOMIC_RELAXED) & 3U;
    if (flags != packed::kEventDesc || !vring.event_idx) return flags == packed::kEventEnable;
    const std::uint16_t off_wrap = __atomic_load_n(&vring.driver_event->off_wrap, __ATOMIC_RELAXED);
    // Positions as distances: the driver asks for the slot `event`; was it passed between `from` and `to`?
    const auto size = static_cast<std::uint16_t>(vring.size);
    auto event = static_cast<std::uint16_t>(off_wrap & 0x7fffU);
    if ((off_wrap >> 15U) != to.used_wrap) event = static_cast<std::uint16_t>(event - size);
    auto old_slot = from.next_used;
    if (from.used_wrap != to.used_wrap) old_slot = static_cast<std::uint16_t>(old_slot - size);
    return static_cast<std::uint16_t>(to.next_used - event - 1) < static_cast<std::uint16_t>(to.next_used - old_slot);
  }

 private:
  /// A frame has at most kMaxSegments pieces. A driver that makes chains of whole rings would have us read a million
  /// slots a burst, at the cost of the ports that share the PMD.
  static constexpr std::uint16_t kMaxSlots = 4 * kMaxSegments;

  /// Length, id and flags of a slot, in this order from the lowest bit on.
  [[nodiscard]] std::uint64_t second_word(std::uint16_t slot) const {
    // acquire: the driver writes a chain's first flags last (section 2.8.21).
    return __atomic_load_n(reinterpret_cast<const std::uint64_t*>(&ring_[slot]) + 1, __ATOMIC_ACQUIRE);
  }
  void count_left() {
    const unsigned taken = avail_.slot + (avail_.wrap != used_.wrap ? size_ : 0U) - used_.slot;
    left_ = taken <= size_ ? size_ - taken : 0;
  }
  [[nodiscard]] static bool available(PackedSlot at, std::uint64_t word) {
    const auto flags = static_cast<std::uint16_t>(word >> 48U);
    return (flags & (packed::kAvail | packed::kUsed)) == (at.wrap != 0 ? packed::kAvail : packed::kUsed);
  }
  [[nodiscard]] std::uint16_t next(std::uint16_t slot) const {
    return static_cast<std::uint16_t>(slot + 1U == size_ ? 0 : slot + 1U);
  }

  void walk_indirect(const RawDesc& desc, Direction direction, PieceCollector& collect) const {
    // The table is as many descriptors as its length says; NEXT means nothing in it (section 2.8.7).
    if (!vring_.indirect || (desc.high & kDescNext) != 0 || desc.len == 0 || desc.len % sizeof(packed::Desc) != 0 ||
        desc.addr % alignof(packed::Desc) != 0) {
      collect.fail(ChainError::malformed);
      return;
    }
    const auto* table =
        reinterpret_cast<const packed::Desc*>(vring_.memory->translate(desc.addr, desc.len, queue_.ahead.tables_in));
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
      // WRITE has a meaning, but DPDK's driver forgets it in what it sends: at the header's entry always, at others now
      // and then. No frame has a part for us to write, so all of a table that was sent is what the driver wrote.
      const auto flags = direction == Direction::from_driver ? std::uint16_t{0} : entry.high;
      if (!collect.add(entry.addr, entry.len, flags)) return;
    }
  }

  VhostQueue& queue_;
  const Vring& vring_;
  const packed::Desc* const ring_;
  RingJournal& journal_;
  const std::uint32_t size_;
  PackedSlot avail_;
  PackedSlot used_;
  /// Slots that can be taken: the others were, and are not shown as used. Their flags tell as much, as long as the
  /// driver leaves them alone.
  unsigned left_ = 0;
  unsigned pending_ = 0;  ///< of the journal's chains: used and not shown
};

}  // namespace sluice::ports::vhost
