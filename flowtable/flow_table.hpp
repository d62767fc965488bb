// FlowTable: the one exact-match table of a PMD.
//
// Thread safety: one PMD calls everything here that is not const. Two things are for the slow path as well: an
// entry's key, which is written once before the slow path learns of the entry and stays until it has the entry
// erased; and an entry's counters, single-writer words that may be read at any time (see FlowEntry).
//
// Shape: 64-byte buckets of tags and entry indices, and an array of entries. A key has two candidate buckets. The
// memory of both arrays is reserved at creation and touched as it fills; entries never move, so an entry's index
// names it for as long as it lives.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include <tl/expected.hpp>

#include "flowtable/buckets.hpp"
#include "flowtable/flow_entry.hpp"
#include "flowtable/flow_key.hpp"
#include "flowtable/hash.hpp"
#include "flowtable/kernel.hpp"
#include "flowtable/mapping.hpp"

namespace sluice::flowtable {

class FlowTable {
 public:
  /// `capacity`: how many flows fit, 1 to 2^24; every one of them can be inserted whatever the keys are.
  /// `kernel`: the instructions to work with; others than the picked one are for tests.
  /// Fails if the kernel gives no memory, or with EINVAL if the capacity is out of range; the error is errno.
  [[nodiscard]] static tl::expected<FlowTable, int> create(std::size_t capacity, const HashSecret& secret,
                                                           const Kernel& kernel = flowtable::kernel());
  static constexpr std::size_t kMaxCapacity = std::size_t{1} << 24U;

  /// Looks a burst up, at most kMaxLookup keys, pipelined with prefetch; runs of one key are looked up once.
  /// All spans are of one size. entries[i] is null on a miss; hashes[i] is always set, for insert().
  static constexpr std::size_t kMaxLookup = 32;
  void lookup(std::span<const FlowKey> masked_keys, std::span<FlowEntry*> entries,
              std::span<std::uint64_t> hashes) const;
  [[nodiscard]] FlowEntry* find(const FlowKey& masked_key) const;
  /// What lookup() gives as the hash of a key.
  [[nodiscard]] std::uint64_t hash_of(const FlowKey& masked_key) const;

  /// Adds an entry for a key that is not there, its decision null and nothing counted of it. Null if the table is full.
  [[nodiscard]] FlowEntry* insert(const FlowKey& masked_key, std::uint64_t key_hash);
  void erase(FlowEntry& entry);
  /// The table is as it was when it was created: no entry is there any more, nor its counters.
  void clear();

  /// The entry of an id that lives, for any thread: the array never moves.
  [[nodiscard]] FlowEntry& entry(EntryId id) const { return view_.entries[id]; }
  /// Sends for what entry() of an id that may come soon will read and write; any id will do.
  void prefetch(EntryId id) const {
    __builtin_prefetch(&view_.entries[id].key);
    __builtin_prefetch(&view_.entries[id].decision, 1);
  }
  /// Takes up the memory of `count` entries from `first` on, both multiples of kEntriesAPage, so that no insert waits
  /// for the kernel to clear it: a huge page takes 0.1 to 2 ms. For any thread. What is beyond the capacity is left
  /// out.
  void take_up(std::size_t first, std::size_t count) const;
  static constexpr std::size_t kEntriesAPage = Mapping::kHugePage / sizeof(FlowEntry);

  [[nodiscard]] std::size_t size() const { return size_.get(); }
  [[nodiscard]] std::size_t capacity() const { return capacity_; }
  /// Bytes reserved for buckets and entries; memory is taken up as flows come.
  [[nodiscard]] std::size_t reserved_bytes() const;

 private:
  FlowTable() = default;

  Mapping bucket_memory_;
  Mapping entry_memory_;
  TableView view_;
  const Kernel* kernel_ = nullptr;
  std::size_t capacity_ = 0;
  Counter size_;
  EntryId free_ = kNoEntry;  ///< linked by FlowEntry::next; LIFO, so that a small table stays small in memory
  EntryId never_used_ = 0;   ///< entries from here on have not been touched yet
};

}  // namespace sluice::flowtable
