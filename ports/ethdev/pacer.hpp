// Pacer: gives the frames of a device that always has some (a capture file) when they are due and not before. One for
// an Rx queue, used by the PMD that polls it. Queues that are not paced do not come here.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "ports/frame.hpp"

struct rte_mbuf;

namespace sluice::ports::ethdev {

class Pacer {
 public:
  /// What Pacer needs to know of the machine and of DPDK.
  struct Clock {
    double tsc_hz;          ///< ticks a second of the now that due() is given
    int stamp_offset = -1;  ///< of DPDK's Rx time stamp in an mbuf; -1: there is none
    std::uint64_t stamp_flag = 0;
  };

  /// `rate`: frames a second; 0 or less: as recorded, by the frames' time stamps (microseconds, as net_pcap gives
  /// them). A frame without a stamp is due at once; one that is older than the one before starts the clock anew.
  Pacer(const Clock& clock, double rate) : clock_(clock), rate_(rate) {}
  ~Pacer();
  Pacer(const Pacer&) = delete;
  Pacer& operator=(const Pacer&) = delete;

  /// Fills `mbufs` with what is due, and returns how many.
  [[nodiscard]] std::uint16_t take(std::uint16_t device, std::uint16_t queue, std::span<rte_mbuf*, kBurstSize> mbufs);

  /// The tick at which the next frame of the queue, `mbuf`, is due, if it is looked at at `now`.
  [[nodiscard]] std::uint64_t due(const rte_mbuf& mbuf, std::uint64_t now);

 private:
  const Clock clock_;
  const double rate_;
  bool started_ = false;
  std::uint64_t start_ = 0;  ///< tick that frame 0, or first_stamp_, was due at
  std::uint64_t given_ = 0;  ///< frames since start_
  std::uint64_t first_stamp_ = 0;
  std::uint64_t last_stamp_ = 0;
  std::array<rte_mbuf*, kBurstSize> waiting_;
  std::uint16_t next_ = 0;  ///< waiting_[next_ .. end_)
  std::uint16_t end_ = 0;
};

}  // namespace sluice::ports::ethdev
