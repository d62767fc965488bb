// PortTallies: what has been counted for each port, and how much of it had been when the counters were last cleared.
// In memory that outlives a worker: the PMDs of the next one count on in the same words.
//
// A row is one PMD's, and written by it alone; the rest is the control thread's. All zero when new. Whoever writes may
// be killed between any two stores: what clear() notes becomes true by one of them.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

#include "flowtable/flow_key.hpp"
#include "ports/counters.hpp"

namespace sluice::control {

/// What has been counted for one port, as a sum over PMDs.
struct PortTotals {
  std::uint64_t rx_packets = 0;
  std::uint64_t rx_bytes = 0;
  std::uint64_t tx_packets = 0;
  std::uint64_t tx_bytes = 0;
  std::array<std::uint64_t, ports::kDropReasons> drops{};

  bool operator==(const PortTotals&) const = default;
};

class PortTallies {
 public:
  static constexpr std::size_t kMaxRows = 64;

  /// For PMDs 0 to `count` - 1. Rows of workers that had more PMDs stay and count.
  void use_rows(std::size_t count);
  [[nodiscard]] ports::PortCounters& counters(std::size_t row, flowtable::PortId port) { return rows_[row][port]; }

  /// The sum over all rows.
  [[nodiscard]] std::uint64_t sum(flowtable::PortId port, ports::Counter ports::PortCounters::*counter) const;
  [[nodiscard]] std::uint64_t dropped(flowtable::PortId port, ports::DropReason reason) const;
  [[nodiscard]] PortTotals counted(flowtable::PortId port) const;
  [[nodiscard]] PortTotals since_cleared(flowtable::PortId port) const;

  /// Of all ports that there are, at once.
  void clear(std::span<const flowtable::PortId> ports);
  /// Of a port that no PMD counts for any more: as if there had never been one of this id.
  void forget(flowtable::PortId port);

 private:
  using Row = std::array<ports::PortCounters, flowtable::kMaxPorts>;
  using Base = std::array<PortTotals, flowtable::kMaxPorts>;

  std::atomic<std::uint32_t> used_rows_;
  std::atomic<std::uint32_t> clears_;  ///< bases_[clears_ % 2] is what had been counted at the last
  std::array<Base, 2> bases_;          ///< zero for ids without a port
  std::array<Row, kMaxRows> rows_;
};

}  // namespace sluice::control
