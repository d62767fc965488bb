#include "control/switch/port_tallies.hpp"

#include <algorithm>

namespace sluice::control {

using flowtable::PortId;
using ports::Counter;
using ports::DropReason;
using ports::PortCounters;

void PortTallies::use_rows(std::size_t count) {
  // relaxed: nobody else writes it, and a successor comes after us.
  const auto used = std::max(used_rows_.load(std::memory_order_relaxed), static_cast<std::uint32_t>(count));
  used_rows_.store(used, std::memory_order_relaxed);
}

std::uint64_t PortTallies::sum(PortId port, Counter PortCounters::*counter) const {
  std::uint64_t total = 0;
  for (std::size_t i = 0; i < used_rows_.load(std::memory_order_relaxed); ++i) total += (rows_[i][port].*counter).get();
  return total;
}

std::uint64_t PortTallies::dropped(PortId port, DropReason reason) const {
  std::uint64_t total = 0;
  for (std::size_t i = 0; i < used_rows_.load(std::memory_order_relaxed); ++i) total += rows_[i][port].dropped(reason);
  return total;
}

PortTotals PortTallies::counted(PortId port) const {
  PortTotals out;
  out.rx_packets = sum(port, &PortCounters::rx_packets);
  out.rx_bytes = sum(port, &PortCounters::rx_bytes);
  out.tx_packets = sum(port, &PortCounters::tx_packets);
  out.tx_bytes = sum(port, &PortCounters::tx_bytes);
  for (std::size_t r = 0; r < ports::kDropReasons; ++r) out.drops[r] = dropped(port, static_cast<DropReason>(r));
  return out;
}

PortTotals PortTallies::since_cleared(PortId port) const {
  const PortTotals& base = bases_[clears_.load(std::memory_order_relaxed) % 2][port];
  PortTotals out = counted(port);
  out.rx_packets -= base.rx_packets;
  out.rx_bytes -= base.rx_bytes;
  out.tx_packets -= base.tx_packets;
  out.tx_bytes -= base.tx_bytes;
  for (std::size_t r = 0; r < ports::kDropReasons; ++r) out.drops[r] -= base.drops[r];
  return out;
}

void PortTallies::clear(std::span<const PortId> ports) {
  const std::uint32_t next = clears_.load(std::memory_order_relaxed) + 1;
  for (const PortId port : ports) bases_[next % 2][port] = counted(port);
  // release: after all of them.
  clears_.store(next, std::memory_order_release);
}

void PortTallies::forget(PortId port) {
  for (std::size_t i = 0; i < used_rows_.load(std::memory_order_relaxed); ++i) rows_[i][port].reset();
  for (Base& base : bases_) base[port] = {};
}

}  // namespace sluice::control
