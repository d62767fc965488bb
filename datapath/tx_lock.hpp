// TxLock: taken by a PMD for one batch when it shares a port's Tx queues with other PMDs, because the port has fewer
// queues than there are PMDs. The only lock in the packet path; a port with queues enough has none.
#pragma once

#include <atomic>

#include <immintrin.h>

namespace sluice::datapath {

/// A spin lock, for std::lock_guard. The holder runs on a core of its own and does not block, so waiting is short.
class alignas(64) TxLock {
 public:
  void lock() {
    // acquire: what the last holder did to the queue is seen.
    while (locked_.exchange(true, std::memory_order_acquire)) {
      // relaxed: only to wait without taking the cache line away from the holder.
      while (locked_.load(std::memory_order_relaxed)) _mm_pause();
    }
  }
  void unlock() {
    // release: pairs with lock.
    locked_.store(false, std::memory_order_release);
  }

 private:
  std::atomic<bool> locked_{false};
};

}  // namespace sluice::datapath
