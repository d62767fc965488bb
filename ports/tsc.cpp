#include "ports/tsc.hpp"

#include <rte_cycles.h>
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

void ignore(int /*signal*/) {}

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
    : thread_(::pthread_self()), thread_id_(::gettid()), begin_(sample()), watcher_([this] { cut_sleep_short(); }) {}

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

void TscMeasurement::cut_sleep_short() const {
  struct sigaction action {};
  struct sigaction before {};
  action.sa_handler = ignore;
  action.sa_flags = SA_RESTART;  // which no sleep obeys (signal(7)), and all else does
  ::sigaction(SIGURG, &action, &before);
  for (unsigned asleep = 0; asleep < kLooksAsleep && !stop_.load(std::memory_order_relaxed);) {
    std::this_thread::sleep_for(kLook);
    asleep = blocked_in(thread_id_) == SYS_clock_nanosleep ? asleep + 1 : 0;
    // What DPDK makes of it is right however long it has slept.
    if (asleep == kLooksAsleep) ::pthread_kill(thread_, SIGURG);
  }
  while (!stop_.load(std::memory_order_relaxed)) std::this_thread::sleep_for(kLook);
  ::sigaction(SIGURG, &before, nullptr);
}

}  // namespace sluice::ports
