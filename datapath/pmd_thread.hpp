// PmdThread: the thread that runs a Pmd, pinned to its core; or waits there, ready, while another process has the
// core's queues.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <thread>

#include "datapath/pmd.hpp"

namespace sluice::datapath {

class PmdThread {
 public:
  /// Starts the thread on `core`, at rest. `idle_sleep` is the longest it sleeps when there is nothing to do; 0: it
  /// spins.
  PmdThread(Pmd& pmd, unsigned core, std::chrono::microseconds idle_sleep);
  /// Ends it at the end of a loop.
  ~PmdThread();
  PmdThread(const PmdThread&) = delete;
  PmdThread& operator=(const PmdThread&) = delete;

  void go();
  /// Returns when the thread rests, at the end of a loop.
  void rest();

  [[nodiscard]] unsigned core() const { return core_; }
  /// The thread's id in the kernel.
  [[nodiscard]] int kernel_id() const { return kernel_id_.load(std::memory_order_relaxed); }
  /// For a PMD that stands still: a signal that makes a system call it is in return, and does nothing else.
  void interrupt();

 private:
  enum class Wish : std::uint8_t { rest, work, end };

  void run();
  void work();

  Pmd& pmd_;
  const unsigned core_;
  const std::chrono::microseconds idle_sleep_;
  std::atomic<Wish> wish_{Wish::rest};
  std::atomic<bool> rests_{false};
  std::atomic<int> kernel_id_{0};
  std::thread thread_;
};

}  // namespace sluice::datapath
