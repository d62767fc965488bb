// SpscRing: a bounded queue from one thread to one other. What a PMD and the slow path tell each other goes through
// two of these. Neither side ever waits.
#pragma once

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstddef>
#include <memory>
#include <span>
#include <type_traits>

namespace sluice::datapath {

template <typename T>
class SpscRing {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  /// `capacity` is rounded up to a power of two.
  explicit SpscRing(std::size_t capacity)
      : mask_(std::bit_ceil(capacity) - 1), slots_(std::make_unique<T[]>(mask_ + 1)) {}

  /// Producer: false if full.
  bool push(const T& item) { return push(std::span(&item, 1)) == 1; }
  /// Producer: puts in as many as there is room for, the first ones, all to be seen at once; how many.
  std::size_t push(std::span<const T> items) {
    const std::size_t head = head_.load(std::memory_order_relaxed);
    if (capacity() - (head - tail_seen_) < items.size()) {
      // acquire: the consumer has read a slot before it freed it.
      tail_seen_ = tail_.load(std::memory_order_acquire);
    }
    const std::size_t n = std::min(items.size(), capacity() - (head - tail_seen_));
    for (std::size_t i = 0; i < n; ++i) slots_[(head + i) & mask_] = items[i];
    // release: the slots are written before they are seen.
    if (n != 0) head_.store(head + n, std::memory_order_release);
    return n;
  }

  /// Consumer: takes at most out.size() items and returns how many.
  std::size_t pop(std::span<T> out) {
    const std::size_t tail = tail_.load(std::memory_order_relaxed);
    // acquire: pairs with push.
    const std::size_t available = head_.load(std::memory_order_acquire) - tail;
    const std::size_t n = available < out.size() ? available : out.size();
    for (std::size_t i = 0; i < n; ++i) out[i] = slots_[(tail + i) & mask_];
    if (n != 0) tail_.store(tail + n, std::memory_order_release);
    return n;
  }

  /// How many items wait. The producer never sees too few, the consumer never too many.
  [[nodiscard]] std::size_t size() const {
    return head_.load(std::memory_order_acquire) - tail_.load(std::memory_order_acquire);
  }
  /// Either side, and approximate for both.
  [[nodiscard]] bool empty() const {
    return head_.load(std::memory_order_acquire) == tail_.load(std::memory_order_acquire);
  }
  [[nodiscard]] std::size_t capacity() const { return mask_ + 1; }

 private:
  const std::size_t mask_;
  const std::unique_ptr<T[]> slots_;
  alignas(64) std::atomic<std::size_t> head_{0};
  std::size_t tail_seen_ = 0;  ///< the producer's
  alignas(64) std::atomic<std::size_t> tail_{0};
};

}  // namespace sluice::datapath
