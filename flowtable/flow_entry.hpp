// FlowEntry: one flow of a FlowTable, and the single-writer counters in it.
//
// The PMD that owns the table writes it. The slow path may read the key from when it learns of the entry until it has
// it erased, and the counters at any time.
#pragma once

#include <atomic>
#include <cstdint>

#include "flowtable/action.hpp"
#include "flowtable/flow_key.hpp"

namespace sluice::flowtable {

/// An entry's index, stable while the entry lives.
using EntryId = std::uint32_t;
inline constexpr EntryId kNoEntry = 0xffffffff;

/// A word that one thread writes and others read. The writer's add() is a plain add, no locked instruction.
class Counter {
 public:
  Counter() = default;
  // A copy is a new word with the value as of now: what a table that is moved needs of its size.
  Counter(const Counter& other) : word_(other.get()) {}
  Counter& operator=(const Counter& other) {
    set(other.get());
    return *this;
  }

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
  FlowKey key{};  ///< masked; mask_generation set

  const Decision* decision = nullptr;  ///< null while the decision is pending
  // Of all flows that the entry has been, so that what a flow has had until it was erased can be read after that.
  Counter packets;
  Counter bytes;              ///< of frames, without FCS
  Counter used_ns;            ///< the PMD's clock at the last hit
  std::uint32_t hash = 0;     ///< see hash.hpp; spreads flows over a port's Tx queues too
  std::uint32_t pending = 0;  ///< the PMD's own: the queue of frames that wait for the decision; 0 at insert
  EntryId id = kNoEntry;
  EntryId next = kNoEntry;           ///< the table's own: of a list that the entry is in, free or chained
  std::uint64_t packets_before = 0;  ///< of `packets`, those of flows before this one; written with the key
  std::uint64_t bytes_before = 0;

  [[nodiscard]] std::uint64_t own_packets() const { return packets.get() - packets_before; }
  [[nodiscard]] std::uint64_t own_bytes() const { return bytes.get() - bytes_before; }
};
static_assert(sizeof(FlowEntry) == 128);

}  // namespace sluice::flowtable
