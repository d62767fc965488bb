// Histogram: how often which latency was seen, to better than 1 %, in constant space (as HdrHistogram does it).
// Values below 256 have a bucket each; above, each power of two is divided into 128. One thread's.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace sluice::vmgen {

class Histogram {
 public:
  static constexpr unsigned kBits = 40;  ///< larger values count as the largest
  static constexpr unsigned kSubBits = 7;
  static constexpr std::uint64_t kLargest = (std::uint64_t{1} << kBits) - 1;

  void record(std::uint64_t value) {
    if (value > kLargest) value = kLargest;
    ++buckets_[bucket_of(value)];
    ++count_;
    sum_ += value;
    if (value < min_) min_ = value;
    if (value > max_) max_ = value;
  }

  void merge(const Histogram& other);
  void clear() { *this = Histogram{}; }

  [[nodiscard]] std::uint64_t count() const { return count_; }
  [[nodiscard]] std::uint64_t min() const { return count_ == 0 ? 0 : min_; }
  [[nodiscard]] std::uint64_t max() const { return max_; }
  [[nodiscard]] double mean() const {
    return count_ == 0 ? 0 : static_cast<double>(sum_) / static_cast<double>(count_);
  }
  /// The smallest value, to within a bucket, that `quantile` (0 to 1) of all values do not exceed.
  [[nodiscard]] std::uint64_t at(double quantile) const;

  static constexpr std::size_t bucket_of(std::uint64_t value) {
    const unsigned width = static_cast<unsigned>(std::bit_width(value));
    const unsigned shift = width > kSubBits + 1 ? width - kSubBits - 1 : 0;
    return (std::size_t{shift} << kSubBits) + static_cast<std::size_t>(value >> shift);
  }
  /// The largest value that falls into `bucket`.
  static constexpr std::uint64_t top_of(std::size_t bucket) {
    if (bucket < (std::size_t{2} << kSubBits)) return bucket;
    const std::size_t shift = (bucket >> kSubBits) - 1;
    const std::uint64_t mantissa = bucket - (shift << kSubBits);
    return ((mantissa + 1) << shift) - 1;
  }

 private:
  static constexpr std::size_t kBuckets = std::size_t{kBits - kSubBits + 1} << kSubBits;

  std::array<std::uint64_t, kBuckets> buckets_{};
  std::uint64_t count_ = 0;
  std::uint64_t sum_ = 0;
  std::uint64_t min_ = kLargest;
  std::uint64_t max_ = 0;
};

}  // namespace sluice::vmgen
