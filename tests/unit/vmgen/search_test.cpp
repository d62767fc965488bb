// The search for a rate, on switches that exist in arithmetic alone.
#include "perf/vmgen/search.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace sluice::vmgen {
namespace {

/// A switch that forwards `capacity` a second and drops the rest.
Trial through(double capacity, double rate, double seconds) {
  const auto offered = static_cast<std::uint64_t>(rate * seconds);
  const auto received = static_cast<std::uint64_t>(std::min(rate, capacity) * seconds);
  return {.rate = rate, .seconds = seconds, .offered = offered, .expected = offered, .received = received};
}

SearchSettings settings(double loss, double highest) {
  return {.loss_percent = loss, .precision_percent = 1, .trial_seconds = 10, .highest = highest};
}

TEST(Search, finds_what_the_switch_forwards_without_loss) {
  for (const double capacity : {1.1e4, 3.3e5, 9.99e5}) {
    const auto found =
        search(settings(0, 1e6), [&](double rate, double seconds) { return through(capacity, rate, seconds); });
    ASSERT_TRUE(found.found);
    EXPECT_LE(found.found->rate, capacity);
    EXPECT_GE(found.found->rate, 0.985 * capacity);
  }
}

TEST(Search, allows_the_loss_that_it_is_told) {
  const auto found =
      search(settings(10, 1e6), [](double rate, double seconds) { return through(450'000, rate, seconds); });
  ASSERT_TRUE(found.found);
  EXPECT_LE(found.found->rate, 500'001);
  EXPECT_GE(found.found->rate, 0.985 * 500'000);
}

TEST(Search, ends_at_once_when_the_highest_rate_passes) {
  const auto found = search(settings(0, 1e6), [](double rate, double seconds) { return through(2e6, rate, seconds); });
  EXPECT_EQ(found.found->rate, 1e6);
  EXPECT_EQ(found.trials.size(), 2);
}

TEST(Search, has_verified_what_it_says_in_a_longer_trial) {
  // Buffers hide the loss of short trials.
  const auto found = search(settings(0, 1e6), [](double rate, double seconds) {
    return through(seconds > 10 ? 300'000 : 400'000, rate, seconds);
  });
  ASSERT_TRUE(found.found);
  EXPECT_LE(found.found->rate, 300'000);
  EXPECT_GE(found.found->rate, 0.98 * 300'000);
  EXPECT_TRUE(found.found->verification);
  EXPECT_TRUE(found.found->passed);
  EXPECT_EQ(found.found->seconds, 30);
}

TEST(Search, comes_down_in_a_few_steps_from_where_short_trials_are_lucky) {
  const auto found = search(settings(0, 1e6), [](double rate, double seconds) {
    return through(seconds > 1.5 * settings(0, 1e6).trial_seconds ? 50'000 : 500'000, rate, seconds);
  });
  ASSERT_TRUE(found.found);
  EXPECT_LE(found.found->rate, 50'000);
  EXPECT_GE(found.found->rate, 0.98 * 50'000);
  EXPECT_LE(
      std::count_if(found.trials.begin(), found.trials.end(), [](const Trial& trial) { return trial.verification; }),
      20);
}

TEST(Search, finds_nothing_where_nothing_passes) {
  const auto found = search(settings(0, 1e6), [](double rate, double seconds) { return through(0, rate, seconds); });
  EXPECT_FALSE(found.found);
  EXPECT_FALSE(found.trials.empty());
}

TEST(Search, repeats_a_trial_that_the_generator_spoiled) {
  int count = 0;
  const auto found = search(settings(0, 1e6), [&](double rate, double seconds) {
    Trial trial = through(500'000, rate, seconds);
    if (++count % 2 == 1) {  // each is spoiled first: most was never offered, all of that arrived
      trial.skipped = trial.offered / 2;
      trial.offered -= trial.skipped;
      trial.expected = trial.received = trial.offered;
    }
    return trial;
  });
  ASSERT_TRUE(found.found);
  EXPECT_LE(found.found->rate, 500'000);
  EXPECT_GE(found.found->rate, 0.985 * 500'000);
}

TEST(Search, says_whose_limit_was_found) {
  // A switch that forwards so many, and a generator that makes so many.
  const auto limit = [](double capacity, double makes) {
    return search(settings(0, 1e6), [=](double rate, double seconds) {
      Trial trial = through(capacity, std::min(rate, makes), seconds);
      trial.rate = rate;
      trial.skipped = static_cast<std::uint64_t>(rate * seconds) - trial.offered;
      return trial;
    });
  };
  EXPECT_TRUE(limit(900'000, 500'000).generator_was_limit);
  EXPECT_NEAR(limit(900'000, 500'000).found->rate, 526'000, 10'000) << "so much may be skipped";
  EXPECT_FALSE(limit(500'000, 900'000).generator_was_limit);
  EXPECT_FALSE(limit(2e6, 2e6).generator_was_limit);
  EXPECT_TRUE(limit(2e6, 0).generator_was_limit);
}

TEST(Search, what_was_never_really_offered_does_not_pass) {
  const auto found = search(settings(0, 1e6), [&](double rate, double seconds) {
    Trial trial = through(1e9, rate, seconds);
    trial.skipped = trial.offered;
    return trial;
  });
  EXPECT_FALSE(found.found);
}

TEST(Search, stopped_it_ends_without_a_rate) {
  int left = 3;
  const auto found = search(settings(0, 1e6), [&](double rate, double seconds) -> std::optional<Trial> {
    if (left-- == 0) return std::nullopt;
    return through(500'000, rate, seconds);
  });
  EXPECT_FALSE(found.found);
  EXPECT_EQ(found.trials.size(), 3);
}

}  // namespace
}  // namespace sluice::vmgen
