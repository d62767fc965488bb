#include "ports/ethdev/pacer.hpp"

#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_mbuf_dyn.h>

namespace sluice::ports::ethdev {

namespace {

constexpr double kStampsPerSecond = 1e6;

}  // namespace

Pacer::~Pacer() {
  if (next_ < end_) rte_pktmbuf_free_bulk(&waiting_[next_], static_cast<unsigned>(end_ - next_));
}

std::uint64_t Pacer::due(const rte_mbuf& mbuf, std::uint64_t now) {
  if (rate_ > 0) {
    if (!started_) start_ = now;
    started_ = true;
    return start_ + static_cast<std::uint64_t>(static_cast<double>(given_) * clock_.tsc_hz / rate_);
  }
  if (clock_.stamp_offset < 0 || (mbuf.ol_flags & clock_.stamp_flag) == 0) return now;
  const std::uint64_t stamp = *RTE_MBUF_DYNFIELD(&mbuf, clock_.stamp_offset, const rte_mbuf_timestamp_t*);
  if (!started_ || stamp < last_stamp_) {
    started_ = true;
    start_ = now;
    first_stamp_ = stamp;
  }
  last_stamp_ = stamp;
  return start_ +
         static_cast<std::uint64_t>(static_cast<double>(stamp - first_stamp_) * clock_.tsc_hz / kStampsPerSecond);
}

std::uint16_t Pacer::take(std::uint16_t device, std::uint16_t queue, std::span<rte_mbuf*, kBurstSize> mbufs) {
  const std::uint64_t now = rte_rdtsc();
  std::uint16_t count = 0;
  while (count < kBurstSize) {
    if (next_ == end_) {
      next_ = 0;
      end_ = rte_eth_rx_burst(device, queue, waiting_.data(), kBurstSize);
      if (end_ == 0) break;
    }
    if (due(*waiting_[next_], now) > now) break;
    mbufs[count++] = waiting_[next_++];
    ++given_;
  }
  return count;
}

}  // namespace sluice::ports::ethdev
