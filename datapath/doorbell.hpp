// Doorbell: how a PMD wakes the slow path once that has had nothing to do for so long that it sleeps. Ringing costs a
// fence and a load where nobody sleeps, and a system call where somebody does.
//
// Thread safety: one thread waits; any thread rings.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

namespace sluice::datapath {

class Doorbell {
 public:
  /// After what the waiter is to see has been stored.
  void ring() {
    // The store before and the load behind must not change places: the waiter says that it waits, and looks then.
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (waits_.load(std::memory_order_relaxed) != 0) [[unlikely]]
      wake();
  }

  // The waiter says that it is going to wait, looks once more whether there is something to do, and waits if there is
  // not: who rings from the first of these on ends the wait.
  void about_to_wait() {
    waits_.store(1, std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_seq_cst);
  }
  /// Until somebody rings, at most for so long. To be called also if it is not to wait, with 0.
  void wait(std::chrono::nanoseconds most);
  [[nodiscard]] bool waits() const { return waits_.load(std::memory_order_relaxed) != 0; }

 private:
  void wake();

  alignas(64) std::atomic<std::uint32_t> waits_{0};  ///< a futex
};

}  // namespace sluice::datapath
