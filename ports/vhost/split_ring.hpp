// SplitRing: the device's side of a split virtqueue (virtio 1.2, section 2.7), for the length of one verb.
//
// take() hands out the available chains in order; use() writes used elements; publish() makes them visible at once.
// PackedRing has the same members, and receive.cpp and transmit.cpp are written once for both.
#pragma once

#include <cstdint>
#include <span>

#include "ports/vhost/chain.hpp"
#include "ports/vhost/vhost_queue.hpp"

namespace sluice::ports::vhost {

class SplitRing {
 public:
  /// The head of a chain; walk() finds the rest.
  struct Chain {
    RawDesc first;
    std::uint16_t id;
    std::uint16_t descriptors;  ///< always 1: what a Borrowed records
    bool valid;                 ///< false: the avail ring named a descriptor that does not exist

    [[nodiscard]] std::uint16_t flags() const { return first.low; }
  };
  using Mark = std::uint16_t;

  SplitRing(VhostQueue& queue, const Vring& vring, const RingPosition& position)
      : queue_(queue),
        vring_(vring),
        mask_(static_cast<std::uint16_t>(vring.size - 1)),
        avail_idx_(position.next_avail),
        next_avail_(position.next_avail),
        next_used_(position.next_used),
        first_used_(position.next_used) {}

  /// Looks at the driver's index: how many chains can be taken, at most `max`. An index that is impossible breaks the
  /// queue.
  unsigned ready(unsigned max) {
    // acquire: the ring entries and descriptors were written before the index (section 2.7.13.3).
    avail_idx_ = __atomic_load_n(&vring_.avail->idx, __ATOMIC_ACQUIRE);
    const auto count = static_cast<std::uint16_t>(avail_idx_ - next_avail_);
    if (count > vring_.size) [[unlikely]] {
      queue_.broken = true;
      queue_.guest_errors.add();
      avail_idx_ = next_avail_;
      return 0;
    }
    return count < max ? count : max;
  }
  /// Whether there is a chain to take, as of the last ready().
  [[nodiscard]] bool more() const { return avail_idx_ != next_avail_; }

  /// Brings the descriptors of the next n chains into the cache.
  void prefetch(unsigned n) const {
    for (unsigned i = 0; i < n; ++i) __builtin_prefetch(&vring_.desc[avail_entry(next_avail_ + i) & mask_]);
  }

  /// Whether take() can go on behind a chain that is not valid: the avail ring has the next one.
  [[nodiscard]] static constexpr bool resumable() { return true; }

  Chain take() {
    const std::uint16_t id = avail_entry(next_avail_++);
    if (id >= vring_.size) [[unlikely]]
      return Chain{{}, id, 1, false};
    return Chain{read_desc(&vring_.desc[id]), id, 1, true};
  }

  /// The pieces of a chain that is not a single plain descriptor.
  Walk walk(const Chain& chain, Direction direction, std::span<Piece> out) const {
    PieceCollector collect(*vring_.memory, queue_.region_hint, direction, out);
    const split::Desc* table = vring_.desc;
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

  /// Writes a used element; the driver does not see it before publish().
  void use(std::uint16_t id, std::uint16_t /*descriptors*/, std::uint32_t len) {
    const std::uint16_t slot = next_used_++ & mask_;
    const split::UsedElem element{id, len};
    std::memcpy(reinterpret_cast<split::UsedElem*>(vring_.used + 1) + slot, &element, sizeof element);
    if (vring_.log_used) [[unlikely]]
      vring_.log->mark(vring_.log_used_addr + 4 + std::size_t{slot} * 8, 8);
  }

  /// Shows the driver what was used since the ring was looked at. False if nothing was.
  bool publish() {
    if (next_used_ == first_used_) return false;
    // release: the used elements and the buffers' bytes come first.
    __atomic_store_n(&vring_.used->idx, next_used_, __ATOMIC_RELEASE);
    if (vring_.log_used) [[unlikely]]
      vring_.log->mark(vring_.log_used_addr, sizeof(split::RingHeader));
    return true;
  }

  /// Whether the driver wants to hear of what publish() has shown (section 2.7.7). Behind a full barrier: the index
  /// must be visible before the driver's wish is read, or both could miss each other.
  [[nodiscard]] bool interrupt_wanted() const {
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (!vring_.event_idx) {
      return (__atomic_load_n(&vring_.avail->flags, __ATOMIC_RELAXED) & split::kAvailNoInterrupt) == 0;
    }
    const std::uint16_t event = avail_entry_raw(vring_.size);  // used_event stands behind the last entry
    return static_cast<std::uint16_t>(next_used_ - event - 1) < static_cast<std::uint16_t>(next_used_ - first_used_);
  }

  /// Where the next verb goes on.
  [[nodiscard]] RingPosition position() const { return RingPosition{next_avail_, next_used_, 1, 1, 0}; }

 private:
  [[nodiscard]] std::uint16_t avail_entry(unsigned index) const { return avail_entry_raw(index & mask_); }
  [[nodiscard]] std::uint16_t avail_entry_raw(unsigned slot) const {
    return __atomic_load_n(reinterpret_cast<const std::uint16_t*>(vring_.avail + 1) + slot, __ATOMIC_RELAXED);
  }

  const split::Desc* indirect_table(const RawDesc& desc, std::uint32_t& entries) const {
    if ((desc.low & kDescNext) != 0 || desc.len == 0 || desc.len % sizeof(split::Desc) != 0 ||
        desc.addr % alignof(split::Desc) != 0) {
      return nullptr;
    }
    entries = desc.len / static_cast<std::uint32_t>(sizeof(split::Desc));
    return reinterpret_cast<const split::Desc*>(vring_.memory->translate(desc.addr, desc.len, queue_.table_hint));
  }

  VhostQueue& queue_;
  const Vring& vring_;
  const std::uint16_t mask_;
  std::uint16_t avail_idx_;
  std::uint16_t next_avail_;
  std::uint16_t next_used_;
  const std::uint16_t first_used_;
};

}  // namespace sluice::ports::vhost
