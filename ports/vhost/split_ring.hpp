// SplitRing: the device's side of a split virtqueue (virtio 1.2, section 2.7), for the length of one verb.
//
// take_plain() and take() hand out the available chains in order; use() writes used elements; publish() makes them
// visible at once. PackedRing has the same members, and receive.cpp and transmit.cpp are written once for both.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>

#include "ports/vhost/chain.hpp"
#include "ports/vhost/copy.hpp"
#include "ports/vhost/vhost_queue.hpp"

namespace sluice::ports::vhost {

class SplitRing {
 public:
  /// The head of a chain; walk() finds the rest.
  struct Chain {
    RawDesc first;
    std::uint16_t id;
    std::uint16_t descriptors;  ///< always 1: what a UsedChain records
    bool valid;                 ///< false: the avail ring named a descriptor that does not exist
  };
  using Mark = std::uint32_t;

  SplitRing(VhostQueue& queue, const Vring& vring, const RingPosition& position)
      : queue_(queue),
        vring_(vring),
        desc_(vring.desc),
        avail_ring_(reinterpret_cast<const std::uint16_t*>(vring.avail + 1)),
        used_ring_(reinterpret_cast<split::UsedElem*>(vring.used + 1)),
        mask_(vring.size - 1),
        next_avail_(position.next_avail),
        avail_idx_(position.next_avail),
        first_used_(position.next_used),
        next_used_(position.next_used) {}

  /// Goes on behind `chains` plain ones that are known already.
  void skip(unsigned chains) { next_avail_ = avail_idx_ = next_avail_ + chains; }

  /// Looks at the driver's index. One that is impossible breaks the queue, and nothing is available.
  void look() {
    // acquire: the ring entries and descriptors were written before the index (section 2.7.13.3).
    const std::uint16_t idx = __atomic_load_n(&vring_.avail->idx, __ATOMIC_ACQUIRE);
    const auto available = static_cast<std::uint16_t>(idx - next_avail_);
    avail_idx_ = next_avail_ + available;
    if (available <= vring_.size) [[likely]]
      return;
    queue_.broken = true;
    queue_.guest_errors.add();
    avail_idx_ = next_avail_;
  }
  /// Whether there is a chain to take, as of the last look().
  [[nodiscard]] bool more() const { return avail_idx_ != next_avail_; }

  /// Takes the next chains, at most `most`, as long as each is one plain descriptor with all of its bytes in guest
  /// memory, and calls `found(Buffer)` for each.
  template <Direction direction, typename Found>
  [[gnu::always_inline]] void take_plain(unsigned most, Window& hint, Found found) {
    // What the loop reads is its own: stores to guest memory might otherwise have changed it.
    Window window = hint;
    std::uint32_t next = next_avail_;
    for (; most != 0 && next != avail_idx_; --most, ++next) {
      const std::uint16_t id = avail_entry(next);
      prefetch_to_read(&desc_[avail_entry(next + kDescriptorsAhead) & mask_]);  // there is always an entry
      if (id > mask_) [[unlikely]]
        break;
      const RawDesc desc = read_desc(&desc_[id]);
      if ((desc.low & (kDescNext | kDescIndirect | kDescWrite)) != static_cast<std::uint16_t>(direction) ||
          desc.len == 0)
        break;
      std::uint8_t* const data = vring_.memory->translate(desc.addr, desc.len, window);
      if (data == nullptr) [[unlikely]]
        break;
      found(Buffer{data, desc.addr, desc.len, id});
    }
    hint = window;
    next_avail_ = next;
  }

  /// Is where a copy of it is that has taken and used chains.
  void go_on_from(const SplitRing& other) {
    next_avail_ = other.next_avail_;
    next_used_ = other.next_used_;
  }

  /// Whether take() can go on behind a chain that is not valid: the avail ring has the next one.
  [[nodiscard]] static constexpr bool resumable() { return true; }

  /// Takes the next chain, whatever it is. There is one: more().
  Chain take() {
    const std::uint16_t id = avail_entry(next_avail_++);
    if (id > mask_) [[unlikely]]
      return Chain{{}, id, 1, false};
    return Chain{read_desc(&desc_[id]), id, 1, true};
  }

  /// The pieces of a chain.
  Walk walk(const Chain& chain, Direction direction, std::span<Piece> out) const {
    PieceCollector collect(*vring_.memory, queue_.ahead.buffers_in, direction, out);
    const split::Desc* table = desc_;
    std::uint32_t table_size = vring_.size;
    RawDesc desc = chain.first;
    if ((desc.low & kDescIndirect) != 0) {
      table = indirect_table(desc, table_size);
      if (table == nullptr || !vring_.indirect) {
        collect.fail(ChainError::malformed);
        return collect.walk();
      }
      desc = read_desc(&table[0]);
    }
    // A chain cannot be longer than its table without a loop (section 2.7.5.3.1).
    for (std::uint32_t steps = 1;; ++steps) {
      if ((desc.low & kDescIndirect) != 0) {  // indirect inside indirect, or in the middle of a chain
        collect.fail(ChainError::malformed);
        break;
      }
      if (!collect.add(desc.addr, desc.len, desc.low)) break;
      if ((desc.low & kDescNext) == 0) break;
      if (desc.high >= table_size || steps == table_size) {
        collect.fail(ChainError::malformed);
        break;
      }
      desc = read_desc(&table[desc.high]);
    }
    return collect.walk();
  }

  /// Where take() will go on; rewind() gives chains back that were taken since.
  [[nodiscard]] Mark mark() const { return next_avail_; }
  void rewind(Mark mark) { next_avail_ = mark; }
  /// Gives the last `chains` back, which were plain ones.
  void give_back(unsigned chains) { next_avail_ -= chains; }

  /// Used elements that fit before publish() has to be called: all, the used ring has room for every chain.
  [[nodiscard]] static constexpr unsigned room() { return kMaxRingSize; }
  /// Writes a used element; the driver does not see it before publish().
  void use(const UsedChain& chain) {
    // The driver has read the lines ahead: they are with its core.
    if (next_used_ % kUsedOnALine == 0) prefetch_to_write(&used_ring_[(next_used_ + kUsedAhead) & mask_]);
    const split::UsedElem element{chain.id, chain.len};
    std::memcpy(&used_ring_[next_used_ & mask_], &element, sizeof element);
    next_used_ += chain.descriptors;
  }

  /// Shows the driver what was used since the last publish(). False if nothing was.
  bool publish() {
    if (next_used_ == first_used_) return false;
    if (vring_.log_used) [[unlikely]]
      log_elements();
    // release: the used elements and the buffers' bytes come first.
    __atomic_store_n(&vring_.used->idx, static_cast<std::uint16_t>(next_used_), __ATOMIC_RELEASE);
    if (vring_.log_used) [[unlikely]]
      vring_.log->mark(vring_.log_used_addr, sizeof(split::RingHeader));
    first_used_ = next_used_;
    return true;
  }

  /// Where the ring stands with `ahead` plain chains, the last that were taken, given back.
  [[nodiscard]] RingPosition position(unsigned ahead) const {
    return RingPosition{static_cast<std::uint16_t>(next_avail_ - ahead), static_cast<std::uint16_t>(next_used_), 1, 1,
                        0};
  }
  /// Where the next verb goes on; everything that was used is published.
  void settle(const RingPosition& position) const { store_position(*vring_.progress, position); }

  /// Whether the driver wants to hear that the ring went on from `from` to `to` (section 2.7.7). To be asked behind a
  /// full barrier: the index must be visible before the driver's wish is read, or both could miss each other.
  [[nodiscard]] static bool interrupt_wanted(const Vring& vring, const RingPosition& from, const RingPosition& to) {
    if (!vring.event_idx) {
      return (__atomic_load_n(&vring.avail->flags, __ATOMIC_RELAXED) & split::kAvailNoInterrupt) == 0;
    }
    // used_event stands behind the last entry.
    const auto* ring = reinterpret_cast<const std::uint16_t*>(vring.avail + 1);
    const std::uint16_t event = __atomic_load_n(ring + vring.size, __ATOMIC_RELAXED);
    return static_cast<std::uint16_t>(to.next_used - event - 1) <
           static_cast<std::uint16_t>(to.next_used - from.next_used);
  }

 private:
  static constexpr unsigned kDescriptorsAhead = 16;
  static constexpr unsigned kUsedOnALine = kCacheLine / sizeof(split::UsedElem);
  static constexpr unsigned kUsedAhead = 2 * kUsedOnALine;

  [[nodiscard]] std::uint16_t avail_entry(unsigned index) const {
    return __atomic_load_n(avail_ring_ + (index & mask_), __ATOMIC_RELAXED);
  }

  void log_elements() const {
    for (std::uint32_t i = first_used_; i != next_used_; ++i) {
      vring_.log->mark(vring_.log_used_addr + 4 + std::size_t{i & mask_} * 8, 8);
    }
  }

  const split::Desc* indirect_table(const RawDesc& desc, std::uint32_t& entries) const {
    if ((desc.low & kDescNext) != 0 || desc.len == 0 || desc.len % sizeof(split::Desc) != 0 ||
        desc.addr % alignof(split::Desc) != 0) {
      return nullptr;
    }
    entries = desc.len / static_cast<std::uint32_t>(sizeof(split::Desc));
    return reinterpret_cast<const split::Desc*>(vring_.memory->translate(desc.addr, desc.len, queue_.ahead.tables_in));
  }

  VhostQueue& queue_;
  const Vring& vring_;
  const split::Desc* const desc_;
  const std::uint16_t* const avail_ring_;
  split::UsedElem* const used_ring_;
  // Indices run on beyond the 16 bits that the ring's have, which a verb cannot go round: narrow words cost more.
  const std::uint32_t mask_;
  std::uint32_t next_avail_;
  std::uint32_t avail_idx_;
  std::uint32_t first_used_;
  std::uint32_t next_used_;
};

}  // namespace sluice::ports::vhost
