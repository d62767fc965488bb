// Lost, duplicated and reordered frames, against a model that remembers everything.
#include "perf/vmgen/sequence_table.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>
#include <vector>

namespace sluice::vmgen {
namespace {

struct Tally {
  std::uint64_t in_order = 0;
  std::uint64_t reordered = 0;
  std::uint64_t duplicates = 0;
  [[nodiscard]] std::uint64_t received() const { return in_order + reordered; }
  bool operator==(const Tally&) const = default;
};

void add(Tally& tally, Arrival arrival) {
  tally.in_order += arrival == Arrival::kInOrder;
  tally.reordered += arrival == Arrival::kReordered;
  tally.duplicates += arrival == Arrival::kDuplicate;
}

/// One flow's numbers, remembered for ever.
class Model {
 public:
  explicit Model(std::uint32_t first) : first_{first} {}
  Arrival arrive(std::uint32_t number) {
    const std::uint32_t distance = number - first_;
    if (!seen_.insert(distance).second) return Arrival::kDuplicate;
    return distance == *seen_.rbegin() ? Arrival::kInOrder : Arrival::kReordered;
  }

 private:
  std::uint32_t first_;
  std::set<std::uint32_t> seen_;
};

/// A channel that loses, repeats single frames and bursts, and delays, by at most `reach` numbers.
std::vector<std::uint32_t> disturbed(std::uint32_t first, std::uint32_t count, std::uint32_t reach,
                                     std::mt19937& random) {
  std::vector<std::pair<std::uint32_t, std::uint32_t>> arrivals;  // when, what
  for (std::uint32_t i = 0; i < count; ++i) {
    if (random() % 10 == 0) continue;
    arrivals.emplace_back(i, i);
    if (random() % 10 == 0) arrivals.back().first += static_cast<std::uint32_t>(random() % (reach / 2));
    if (random() % 10 == 0) arrivals.emplace_back(i + random() % (reach / 2), i);
  }
  std::stable_sort(arrivals.begin(), arrivals.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<std::uint32_t> numbers;
  for (const auto& [when, what] : arrivals) {
    numbers.push_back(first + what);
    if (random() % 50 == 0) {  // the last burst once more
      const std::size_t burst = std::min<std::size_t>(numbers.size(), reach / 4);
      const std::vector<std::uint32_t> again(numbers.end() - static_cast<std::ptrdiff_t>(burst), numbers.end());
      numbers.insert(numbers.end(), again.begin(), again.end());
    }
  }
  return numbers;
}

struct Setting {
  std::uint32_t window;
  std::uint32_t first;
};

class Laws : public ::testing::TestWithParam<Setting> {};

TEST_P(Laws, each_arrival_is_what_perfect_memory_says) {
  const auto [window, first] = GetParam();
  std::mt19937 random{window};
  SequenceTable table{3, window};
  table.reset(first);
  Model model{first};
  for (const std::uint32_t number : disturbed(first, 20'000, window, random)) {
    ASSERT_EQ(table.arrive(1, number), model.arrive(number)) << number;
  }
}

TEST_P(Laws, sent_is_received_and_lost) {
  const auto [window, first] = GetParam();
  std::mt19937 random{window + 1};
  SequenceTable table{1, window};
  table.reset(first);
  const auto numbers = disturbed(first, 10'000, window, random);
  Tally tally;
  for (const std::uint32_t number : numbers) add(tally, table.arrive(0, number));
  const std::set<std::uint32_t> distinct(numbers.begin(), numbers.end());
  EXPECT_EQ(tally.received(), distinct.size());
  EXPECT_EQ(tally.duplicates, numbers.size() - distinct.size());
}

TEST_P(Laws, a_repeated_burst_is_duplicates_and_no_reordering) {
  const auto [window, first] = GetParam();
  SequenceTable table{1, window};
  table.reset(first);
  Tally tally;
  for (std::uint32_t i = 0; i < 1000; ++i) add(tally, table.arrive(0, first + i));
  for (std::uint32_t i = 1000 - std::min(window, 1000U); i < 1000; ++i) add(tally, table.arrive(0, first + i));
  for (std::uint32_t i = 1000; i < 2000; ++i) add(tally, table.arrive(0, first + i));
  EXPECT_EQ(tally, (Tally{.in_order = 2000, .reordered = 0, .duplicates = std::min(window, 1000U)}));
}

TEST_P(Laws, a_late_one_is_reordered_once_and_then_a_duplicate) {
  const auto [window, first] = GetParam();
  SequenceTable table{1, window};
  table.reset(first);
  for (std::uint32_t i = 1; i <= window; ++i) ASSERT_EQ(table.arrive(0, first + i), Arrival::kInOrder);
  EXPECT_EQ(table.arrive(0, first + 1), Arrival::kDuplicate);
  EXPECT_EQ(table.arrive(0, first), Arrival::kDuplicate) << "a window and one behind the next: cannot be told";
  EXPECT_EQ(table.arrive(0, first + window + 2), Arrival::kInOrder);
  EXPECT_EQ(table.arrive(0, first + window + 1), Arrival::kReordered);
  EXPECT_EQ(table.arrive(0, first + window + 1), Arrival::kDuplicate);
}

TEST_P(Laws, a_long_gap_forgets_what_was_before_it) {
  const auto [window, first] = GetParam();
  SequenceTable table{1, window};
  table.reset(first);
  for (std::uint32_t i = 0; i < window; ++i) table.arrive(0, first + i);
  const std::uint32_t far = first + 10 * window;
  EXPECT_EQ(table.arrive(0, far), Arrival::kInOrder);
  for (std::uint32_t i = 1; i < window; ++i) ASSERT_EQ(table.arrive(0, far - i), Arrival::kReordered) << i;
}

INSTANTIATE_TEST_SUITE_P(Windows, Laws,
                         ::testing::Values(Setting{64, 0}, Setting{1024, 0}, Setting{8192, 0}, Setting{64, 0xfffff000},
                                           Setting{8192, 0xffffff00}),
                         [](const auto& test) {
                           return std::to_string(test.param.window) + "_from_" + std::to_string(test.param.first);
                         });

TEST(SequenceTable, flows_do_not_know_each_other) {
  std::mt19937 random{7};
  constexpr std::uint32_t kFlows = 1000;
  SequenceTable table{kFlows, 64};
  std::vector<Model> models(kFlows, Model{0});
  std::vector<std::uint32_t> next(kFlows, 0);
  for (int i = 0; i < 200'000; ++i) {
    const auto flow = static_cast<std::uint32_t>(random() % kFlows);
    const std::uint32_t back = random() % 8 == 0 ? static_cast<std::uint32_t>(random() % 32) : 0;
    const std::uint32_t number = next[flow] - std::min(back, next[flow]);
    next[flow] = std::max(next[flow], number + 1 + (random() % 16 == 0));
    ASSERT_EQ(table.arrive(flow, number), models[flow].arrive(number));
  }
}

TEST(SequenceTable, many_flows_take_sixteen_bytes_each_and_few_have_a_long_window) {
  EXPECT_EQ(SequenceTable::window_for(1, false), 8192);
  EXPECT_EQ(SequenceTable::window_for(1'000'000, false), 64);
  EXPECT_EQ(SequenceTable::window_for(1'000'000, true), 64);
  EXPECT_GT(SequenceTable::window_for(1000, true), SequenceTable::window_for(1000, false));
}

}  // namespace
}  // namespace sluice::vmgen
