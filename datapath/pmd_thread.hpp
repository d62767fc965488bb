// PmdThread: the thread that runs a Pmd, pinned to its core.
#pragma once

#include <atomic>
#include <chrono>
#include <thread>

#include "datapath/pmd.hpp"

namespace sluice::datapath {

class PmdThread {
 public:
  /// Starts the thread on `core`. `idle_sleep` is the longest it sleeps when there is nothing to do; 0: it spins.
  PmdThread(Pmd& pmd, unsigned core, std::chrono::microseconds idle_sleep);
  /// Ends it at the end of a loop.
  ~PmdThread();
  PmdThread(const PmdThread&) = delete;
  PmdThread& operator=(const PmdThread&) = delete;

  [[nodiscard]] unsigned core() const { return core_; }
  /// The thread's id in the kernel; 0 until it runs.
  [[nodiscard]] int kernel_id() const { return kernel_id_.load(std::memory_order_relaxed); }
  /// For a PMD that stands still: a signal that makes a system call it is in return, and does nothing else.
  void interrupt();

 private:
  void run();

  Pmd& pmd_;
  const unsigned core_;
  const std::chrono::microseconds idle_sleep_;
  std::atomic<bool> stop_{false};
  std::atomic<int> kernel_id_{0};
  std::thread thread_;
};

}  // namespace sluice::datapath
