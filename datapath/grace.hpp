// LoopCounter: how control and slow path know that a PMD no longer uses what was taken back.
//
// A PMD loads the published pointers at the start of a loop and forgets them at its end. So once it has finished a
// loop after a pointer was exchanged, it cannot hold the old one. A PMD that does not run counts as finished.
#pragma once

#include <atomic>
#include <cstdint>

namespace sluice::datapath {

class alignas(64) LoopCounter {
 public:
  /// Before there is a PMD: whoever counted here may have ended inside of a loop.
  void reset() { loops_.store(0, std::memory_order_relaxed); }

  // PMD. enter() before the views are loaded, leave() when they are no longer used.
  void enter() {
    // seq_cst: the store must be seen before the views are loaded, or a publisher could miss that we are inside.
    loops_.store(loops_.load(std::memory_order_relaxed) + 1, std::memory_order_seq_cst);
  }
  void leave() {
    // release: all use of the views is before.
    loops_.store(loops_.load(std::memory_order_relaxed) + 1, std::memory_order_release);
  }

  /// Any thread: a token for now, to be taken after the pointer was exchanged or stored.
  [[nodiscard]] std::uint64_t token() const {
    // A plain store before (a vring that is taken back) may still be on its way: without the fence a PMD could enter
    // and load the old pointer after it was seen to be outside.
    std::atomic_thread_fence(std::memory_order_seq_cst);
    return loops_.load(std::memory_order_seq_cst);
  }
  /// True when what was visible before the token was taken is no longer in use.
  [[nodiscard]] bool passed(std::uint64_t token) const {
    return (token & 1U) == 0 || loops_.load(std::memory_order_acquire) != token;
  }
  /// For the heartbeat: changes as long as the PMD loops.
  [[nodiscard]] std::uint64_t value() const { return loops_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> loops_{0};  ///< odd while inside a loop
};

}  // namespace sluice::datapath
