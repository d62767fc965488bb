// SequenceTable: what a receiver has seen of each flow of one sender, so that a frame that comes again is told from one
// that comes late. One thread's.
//
// A flow has the number that comes next, and a window: one bit for each of the last W numbers before it, by number
// modulo W. A number at or past the next moves the window; one before it has come already if its bit is set
// (duplicate), and is late if not (reordered). Numbers wrap at 32 bits.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "perf/vmgen/huge_array.hpp"

namespace sluice::vmgen {

enum class Arrival : std::uint8_t { kInOrder, kReordered, kDuplicate };

class SequenceTable {
 public:
  /// `window`: a power of two, at least 64. Without flows there is nothing to touch.
  SequenceTable(std::uint32_t flows, std::uint32_t window)
      : stride_{1 + window / 64}, mask_{window - 1}, words_{std::size_t{flows} * stride_} {}

  /// Enough for what can be under way of one flow, at less memory the more flows there are. `skewed`: some flows have
  /// much more than their share.
  static std::uint32_t window_for(std::uint32_t flows, bool skewed) {
    const std::uint32_t share = 65'536 / std::max(1U, skewed ? flows / 16 : flows);
    return std::clamp(std::bit_ceil(std::max(share, 1U)), 64U, 8192U);
  }

  [[nodiscard]] std::uint32_t window() const { return mask_ + 1; }

  /// All flows begin at `next`; nothing has come.
  void reset(std::uint32_t next = 0) {
    std::fill(words_.begin(), words_.end(), 0);
    if (next == 0) return;
    for (std::size_t at = 0; at < words_.size(); at += stride_) words_[at] = next;
  }

  void prefetch(std::uint32_t flow) const { __builtin_prefetch(&words_[std::size_t{flow} * stride_], 1); }

  Arrival arrive(std::uint32_t flow, std::uint32_t number) {
    std::uint64_t* const record = &words_[std::size_t{flow} * stride_];
    std::uint64_t* const bits = record + 1;
    const auto next = static_cast<std::uint32_t>(record[0]);
    const auto ahead = static_cast<std::int32_t>(number - next);
    std::uint64_t& word = bits[(number & mask_) / 64];
    const std::uint64_t bit = std::uint64_t{1} << (number % 64);
    if (ahead >= 0) {
      if (ahead > 0) forget(bits, next, static_cast<std::uint32_t>(ahead));
      word |= bit;
      record[0] = number + std::uint32_t{1};
      return Arrival::kInOrder;
    }
    const auto behind = static_cast<std::uint32_t>(-static_cast<std::int64_t>(ahead));
    if (behind > window() || (word & bit) != 0) return Arrival::kDuplicate;
    word |= bit;
    return Arrival::kReordered;
  }

 private:
  /// The bits of `count` numbers from `first` on: these have not come.
  void forget(std::uint64_t* bits, std::uint32_t first, std::uint32_t count) const {
    if (count >= window()) {
      std::fill(bits, bits + window() / 64, 0);
      return;
    }
    for (std::uint32_t i = 0; i < count; ++i) {
      bits[((first + i) & mask_) / 64] &= ~(std::uint64_t{1} << ((first + i) % 64));
    }
  }

  std::size_t stride_;
  std::uint32_t mask_;
  HugeArray<std::uint64_t> words_;
};

}  // namespace sluice::vmgen
