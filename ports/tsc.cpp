#include "ports/tsc.hpp"

#include <rte_cycles.h>
#include <sched.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>

namespace sluice::ports {
namespace {

std::atomic<double> measured{0};

/// How often the starting thread is looked at, and how long its sleep may be at least: DPDK rounds what it measures to
/// 10 MHz, for which this is long enough unless the machine is very busy.
constexpr std::chrono::microseconds kLook{500};
constexpr unsigned kLooksAsleep = 10;

/// Closer together than this the two clocks were read without an interruption.
constexpr int kTries = 20;

void give_way(int /*signal*/) { ::sched_yield(); }

/// Whether this thread is real-time; then it goes before the one that started it.
bool go_first_if_real_time() {
  const int policy = ::sched_getscheduler(0);
  const int kind = policy & ~SCHED_RESET_ON_FORK;
  if (kind != SCHED_FIFO && kind != SCHED_RR) return false;
  sched_param parameters{};
  ::sched_getparam(0, &parameters);
  ++parameters.sched_priority;
  ::sched_setscheduler(0, policy, &parameters);  // not permitted, or the highest already: as before
  return true;
}

/// The system call that a thread of ours is blocked in; -1: none, or it cannot be told.
long blocked_in(pid_t thread) {
  std::array<char, 64> path{};
  std::snprintf(path.data(), path.size(), "/proc/self/task/%d/syscall", static_cast<int>(thread));
  std::FILE* const file = std::fopen(path.data(), "re");
  if (file == nullptr) return -1;
  std::array<char, 64> text{};
  const char* const line = std::fgets(text.data(), text.size(), file);
  std::fclose(file);
  if (line == nullptr || line[0] < '0' || line[0] > '9') return -1;  // "running"
  return std::strtol(line, nullptr, 10);
}

}  // namespace

double tsc_hz() {
  // relaxed: a number for itself.
  const double hz = measured.load(std::memory_order_relaxed);
  return hz > 0 ? hz : static_cast<double>(rte_get_tsc_hz());
}

TscMeasurement::TscMeasurement()
    : thread_(::pthread_self()), thread_id_(::gettid()), begin_(sample()), watcher_([this] { watch(); }) {
  watches_.wait();
}

TscMeasurement::~TscMeasurement() {
  stop_.store(true, std::memory_order_relaxed);
  watcher_.join();
  const Sample end = sample();
  if (end.ns > begin_.ns) {
    measured.store(static_cast<double>(end.tsc - begin_.tsc) * 1e9 / static_cast<double>(end.ns - begin_.ns),
                   std::memory_order_relaxed);
  }
}

/// The closest of several readings of both clocks.
TscMeasurement::Sample TscMeasurement::sample() {
  Sample best{};
  std::uint64_t closest = ~std::uint64_t{0};
  for (int i = 0; i < kTries; ++i) {
    timespec now{};
    const std::uint64_t before = rte_rdtsc();
    ::clock_gettime(CLOCK_MONOTONIC_RAW, &now);
    const std::uint64_t after = rte_rdtsc();
    if (after - before >= closest) continue;
    closest = after - before;
    best = {before + (after - before) / 2,
            static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(now.tv_nsec)};
  }
  return best;
}

void TscMeasurement::watch() {
  const bool real_time = go_first_if_real_time();
  struct sigaction action {};
  struct sigaction before {};
  action.sa_handler = give_way;
  action.sa_flags = SA_RESTART;  // which no sleep obeys (signal(7)), and all else does
  ::sigaction(SIGURG, &action, &before);
  watches_.count_down();
  for (unsigned asleep = 0; !stop_.load(std::memory_order_relaxed);) {
    std::this_thread::sleep_for(kLook);
    asleep = blocked_in(thread_id_) == SYS_clock_nanosleep ? asleep + 1 : 0;
    // What DPDK makes of it is right however long it has slept.
    if (asleep == kLooksAsleep || (real_time && asleep == 0)) ::pthread_kill(thread_, SIGURG);
    asleep %= kLooksAsleep;
  }
  ::sigaction(SIGURG, &before, nullptr);
}

}  // namespace sluice::ports
