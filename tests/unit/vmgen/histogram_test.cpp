// The histogram of latencies against sorted samples.
#include "perf/vmgen/histogram.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

namespace sluice::vmgen {
namespace {

/// Of all magnitudes alike.
std::vector<std::uint64_t> samples(std::size_t count, unsigned seed) {
  std::mt19937_64 random{seed};
  std::uniform_real_distribution<double> bits{0, 39.9};
  std::vector<std::uint64_t> values(count);
  for (std::uint64_t& value : values) value = static_cast<std::uint64_t>(std::exp2(bits(random)));
  return values;
}

TEST(Histogram, a_bucket_ends_less_than_one_percent_above_each_of_its_values) {
  for (const std::uint64_t value : samples(100'000, 1)) {
    const std::uint64_t top = Histogram::top_of(Histogram::bucket_of(value));
    ASSERT_GE(top, value);
    ASSERT_LE(static_cast<double>(top - value), 0.01 * static_cast<double>(value)) << value;
  }
}

TEST(Histogram, buckets_follow_each_other_without_gap_or_overlap) {
  for (std::size_t bucket = 0; bucket < Histogram::bucket_of(Histogram::kLargest); ++bucket) {
    const std::uint64_t top = Histogram::top_of(bucket);
    ASSERT_EQ(Histogram::bucket_of(top), bucket);
    ASSERT_EQ(Histogram::bucket_of(top + 1), bucket + 1);
  }
}

TEST(Histogram, quantiles_are_those_of_the_sorted_samples) {
  std::vector<std::uint64_t> values = samples(10'007, 2);
  Histogram histogram;
  for (const std::uint64_t value : values) histogram.record(value);
  std::sort(values.begin(), values.end());
  for (const double quantile : {0.0, 0.001, 0.25, 0.5, 0.99, 0.999, 1.0}) {
    const auto rank = static_cast<std::size_t>(std::ceil(quantile * static_cast<double>(values.size())));
    const auto exact = static_cast<double>(values[std::max<std::size_t>(rank, 1) - 1]);
    EXPECT_NEAR(static_cast<double>(histogram.at(quantile)), exact, 0.01 * exact) << quantile;
  }
  EXPECT_EQ(histogram.min(), values.front());
  EXPECT_EQ(histogram.max(), values.back());
  EXPECT_EQ(histogram.at(1), values.back());
}

TEST(Histogram, merged_ones_are_as_one_that_has_seen_all) {
  Histogram one;
  Histogram other;
  Histogram all;
  for (const std::uint64_t value : samples(1000, 3)) {
    one.record(value);
    all.record(value);
  }
  for (const std::uint64_t value : samples(2000, 4)) {
    other.record(value / 7);
    all.record(value / 7);
  }
  Histogram reversed = other;
  reversed.merge(one);
  one.merge(other);
  for (const Histogram* merged : {&one, &reversed}) {
    EXPECT_EQ(merged->count(), 3000);
    EXPECT_EQ(merged->min(), all.min());
    EXPECT_EQ(merged->max(), all.max());
    EXPECT_DOUBLE_EQ(merged->mean(), all.mean());
    for (const double quantile : {0.1, 0.5, 0.9}) EXPECT_EQ(merged->at(quantile), all.at(quantile));
  }
}

TEST(Histogram, what_is_too_large_counts_as_the_largest) {
  Histogram histogram;
  histogram.record(~std::uint64_t{0});
  EXPECT_EQ(histogram.max(), Histogram::kLargest);
  EXPECT_EQ(histogram.at(0.5), Histogram::kLargest);
}

TEST(Histogram, an_empty_one_has_zeros) {
  const Histogram histogram;
  EXPECT_EQ(histogram.count(), 0);
  EXPECT_EQ(histogram.min(), 0);
  EXPECT_EQ(histogram.at(0.99), 0);
  EXPECT_EQ(histogram.mean(), 0);
}

}  // namespace
}  // namespace sluice::vmgen
