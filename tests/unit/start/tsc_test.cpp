// What TscMeasurement does for DPDK's start beside measuring.
#include <gtest/gtest.h>
#include <sched.h>
#include <time.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "ports/tsc.hpp"

namespace sluice::ports {
namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

/// As DPDK waits for a thread of its own to begin.
bool begins_within(std::chrono::seconds patience) {
  std::atomic<bool> began{false};
  std::thread started([&began] { began = true; });
  constexpr timespec kMoment{.tv_sec = 0, .tv_nsec = 1000};
  for (const auto end = Clock::now() + patience; !began && Clock::now() < end;) ::nanosleep(&kMoment, nullptr);
  const bool in_time = began;
  started.join();
  return in_time;
}

/// How long a sleep of `asked` took.
Clock::duration slept(std::chrono::seconds asked) {
  const timespec whole{.tv_sec = asked.count(), .tv_nsec = 0};
  const auto begin = Clock::now();
  ::nanosleep(&whole, nullptr);
  return Clock::now() - begin;
}

TEST(TscMeasurement, ALongSleepIsCutShort) {
  const TscMeasurement measurement;
  EXPECT_LT(slept(60s), 30s);
}

TEST(TscMeasurement, ARealTimeThreadGivesWayToAThreadThatItStartsOnItsOnlyCore) {
  // In a thread of its own, which takes its core and its priority with it. A time slice, which SCHED_FIFO has none of,
  // would end the wait without anybody's help.
  bool permitted = false;
  bool in_time = false;
  std::thread([&] {
    cpu_set_t here;
    CPU_ZERO(&here);
    CPU_SET(static_cast<unsigned>(sched_getcpu()), &here);
    const sched_param lowest{.sched_priority = sched_get_priority_min(SCHED_FIFO)};
    permitted = sched_setaffinity(0, sizeof here, &here) == 0 && sched_setscheduler(0, SCHED_FIFO, &lowest) == 0;
    if (!permitted) return;
    const TscMeasurement measurement;
    in_time = begins_within(2s);
  }).join();
  if (!permitted) GTEST_SKIP() << "real-time priority is not permitted here";
  EXPECT_TRUE(in_time);
}

}  // namespace
}  // namespace sluice::ports
