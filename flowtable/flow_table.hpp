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

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

#include <tl/expected.hpp>

#include "flowtable/action.hpp"
#include "flowtable/flow_key.hpp"

namespace sluice::flowtable {

/// An entry's index, stable while the entry lives.
using EntryId = std::uint32_t;
inline constexpr EntryId kNoEntry = 0xffffffff;

/// A word that one thread writes and others read. The writer's add() is a plain add, no locked instruction.
class Counter {
 public:
  void add(std::uint64_t n) {
    // relaxed, load and store apart: there is one writer, and a reader needs no order with anything else.
    word_.store(word_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  void set(std::uint64_t n) { word_.store(n, std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t get() const { return word_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> word_{0};
};
static_assert(sizeof(Counter) == 8);

/// A flow. First line: what is compared. Second line: what a hit reads and writes.
struct alignas(64) FlowEntry {
  FlowKey key;               ///< masked; mask_generation set

  const Decision* decision;  ///< null while the decision is pending
  Counter packets;
  Counter bytes;             ///< of frames, without FCS
  Counter used_ns;           ///< the PMD's clock at the last hit
  std::uint32_t hash;        ///< of the key; spreads flows over a port's Tx queues too
  std::uint32_t pending;     ///< the PMD's own: the queue of frames that wait for the decision
  EntryId id;
  EntryId next_free;
};
static_assert(sizeof(FlowEntry) == 128);

/// A 128-bit secret, fresh at each start (replay: fixed), so that nobody outside can aim keys at one bucket.
struct HashSecret {
  std::uint64_t words[2];
};

/// Keyed hash of the 64 bytes of a key. AES-NI where the CPU has it.
[[nodiscard]] std::uint64_t hash(const FlowKey& key, const HashSecret& secret);

class FlowTable {
 public:
  /// `capacity`: how many flows fit, 1 to 2^24; every one of them can be inserted whatever the keys are.
  /// Fails only if the kernel gives no memory; the error is errno.
  [[nodiscard]] static tl::expected<FlowTable, int> create(std::size_t capacity, const HashSecret& secret);
  FlowTable(FlowTable&&) noexcept;
  FlowTable& operator=(FlowTable&&) noexcept;
  FlowTable(const FlowTable&) = delete;
  FlowTable& operator=(const FlowTable&) = delete;
  ~FlowTable();

  /// Looks a burst up, at most kMaxLookup keys, pipelined with prefetch; runs of one key are looked up once.
  /// entries[i] is null on a miss; hashes[i] is always set, for insert().
  static constexpr std::size_t kMaxLookup = 32;
  void lookup(std::span<const FlowKey> masked_keys, std::span<FlowEntry*> entries,
              std::span<std::uint64_t> hashes) const;
  [[nodiscard]] FlowEntry* find(const FlowKey& masked_key) const;

  /// Adds an entry for a key that is not there, its decision null and its counters zero. Null if the table is full.
  [[nodiscard]] FlowEntry* insert(const FlowKey& masked_key, std::uint64_t key_hash);
  void erase(FlowEntry& entry);

  /// The entry of an id that lives, for any thread: the array never moves.
  [[nodiscard]] FlowEntry& entry(EntryId id) const { return entries_[id]; }
  [[nodiscard]] std::size_t size() const { return size_.get(); }
  [[nodiscard]] std::size_t capacity() const { return capacity_; }
  /// Bytes reserved for buckets and entries.
  [[nodiscard]] std::size_t reserved_bytes() const;

 private:
  struct Bucket;
  FlowTable() = default;

  Bucket* buckets_ = nullptr;
  FlowEntry* entries_ = nullptr;
  std::size_t bucket_count_ = 0;
  std::size_t capacity_ = 0;
  Counter size_;
  EntryId free_ = kNoEntry;       ///< LIFO, so that a small table stays small in memory
  EntryId never_used_ = 0;        ///< entries from here on have not been touched yet
  HashSecret secret_{};
};

}  // namespace sluice::flowtable
