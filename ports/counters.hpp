// PortCounters: what one PMD has counted for one port. Written by that PMD alone, read by anybody at any time. They may
// be in memory that outlives the process: the PMD of the one that follows counts on.
//
// The law that holds over all ports and PMDs when no packet is on its way:
//   sum(rx_packets) + sum(copies) + sum(segments) = sum(tx_packets) + sum(drops, every reason)
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "ports/drop_reason.hpp"

namespace sluice::ports {

/// A single-writer word: add() is a plain add.
class Counter {
 public:
  void add(std::uint64_t n = 1) {
    // relaxed, load and store apart: there is one writer, and a reader needs no order with anything else.
    word_.store(word_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  [[nodiscard]] std::uint64_t get() const { return word_.load(std::memory_order_relaxed); }
  /// By whoever is the writer: from zero on.
  void reset() { word_.store(0, std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> word_{0};
};

struct alignas(64) PortCounters {
  Counter rx_packets;  ///< frames taken from the port, dropped ones included, and those it announces a guest with
  Counter rx_bytes;    ///< without FCS and virtio-net header
  Counter tx_packets;  ///< frames handed to the port
  Counter tx_bytes;
  Counter copies;    ///< further outputs of a frame that goes to more than one port, counted at its in-port
  Counter segments;  ///< frames that software segmentation made beyond the first of each, counted at the out-port
  std::array<Counter, kDropReasons> drops;

  void drop(DropReason reason, std::uint64_t n = 1) { drops[static_cast<std::size_t>(reason)].add(n); }
  [[nodiscard]] std::uint64_t dropped(DropReason reason) const { return drops[static_cast<std::size_t>(reason)].get(); }
  void reset() {
    for (Counter* counter : {&rx_packets, &rx_bytes, &tx_packets, &tx_bytes, &copies, &segments}) counter->reset();
    for (Counter& counter : drops) counter.reset();
  }
};

}  // namespace sluice::ports
