// The frequency of the time stamp counter, measured against the kernel's clock while DPDK starts.
//
// DPDK measures it too, and sleeps for a tenth of a second to do so: most of the time that a switch takes to start, and
// that guests wait for after a crash. So that sleep is cut short, which makes DPDK's figure coarse; this one is not.
//
// And it waits for threads that it starts in a loop of sleeps of a microsecond. Where it is real-time, these are over
// before it is off the core, and a thread that has no other core would wait for the end of its time slice, another
// tenth of a second: it is made to give way.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <latch>
#include <thread>

namespace sluice::ports {

/// Hz. Once Eal::start() has returned; before, DPDK's.
[[nodiscard]] double tsc_hz();

/// While it lives, DPDK is starting on the thread that made it, whose sleep is cut short, and which gives way to the
/// threads that it starts. Its end sets tsc_hz().
class TscMeasurement {
 public:
  TscMeasurement();
  ~TscMeasurement();
  TscMeasurement(const TscMeasurement&) = delete;
  TscMeasurement& operator=(const TscMeasurement&) = delete;

 private:
  struct Sample {
    std::uint64_t tsc;
    std::uint64_t ns;  ///< CLOCK_MONOTONIC_RAW
  };
  [[nodiscard]] static Sample sample();
  void watch();

  const pthread_t thread_;
  const pid_t thread_id_;
  const Sample begin_;
  std::atomic<bool> stop_{false};
  std::latch watches_{1};
  std::thread watcher_;
};

}  // namespace sluice::ports
