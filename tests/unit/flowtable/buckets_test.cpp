// The buckets' own books: what they count is what is there, and nothing stays behind.
#include "flowtable/buckets.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

namespace sluice::flowtable::test {
namespace {

// Counts, by looking at every slot, the entries that are not in their first bucket, and compares.
void expect_true_books(const TableView& table, const std::vector<EntryId>& placed) {
  std::vector<std::uint32_t> displaced(table.bucket_mask + 1);
  for (const EntryId id : placed) {
    const std::size_t first = table.first(table.entries[id].hash);
    const Bucket& bucket = table.buckets[first];
    bool at_home = false;
    for (unsigned slot = 0; slot < kSlots; ++slot) {
      at_home = at_home || (bucket.tags[slot] != 0 && bucket.entries[slot] == id);
    }
    if (!at_home) ++displaced[first];
  }
  for (std::size_t i = 0; i <= table.bucket_mask; ++i) {
    ASSERT_EQ(table.buckets[i].displaced, displaced[i]) << "bucket " << i;
    ASSERT_TRUE(table.buckets[i].chained == 0 || free_slots(table.buckets[i]) == 0) << "waits beside a free slot";
  }
}

// `distinct`: how many hashes there are; few make chains, many make displacements.
void fill_and_empty(std::uint32_t distinct) {
  std::vector<Bucket> buckets(8, Bucket{});
  std::vector<FlowEntry> entries(51);
  TableView table;
  table.buckets = buckets.data();
  table.entries = entries.data();
  table.bucket_mask = buckets.size() - 1;
  std::mt19937 random(distinct);
  std::vector<EntryId> placed;
  for (EntryId id = 0; id < entries.size(); ++id) {
    entries[id].hash = static_cast<std::uint32_t>(random() % distinct) * 0x9e3779b9U;
    place(table, id);
    placed.push_back(id);
    expect_true_books(table, placed);
  }
  std::shuffle(placed.begin(), placed.end(), random);
  while (!placed.empty()) {
    remove(table, placed.back());
    placed.pop_back();
    expect_true_books(table, placed);
  }
}

TEST(Buckets, count_exactly_the_keys_that_are_not_in_their_first_bucket) {
  for (const std::uint32_t distinct : {1U, 2U, 5U, 20U, 1'000'000U, 1'000'001U, 1'000'002U}) fill_and_empty(distinct);
}

TEST(Buckets, are_all_but_filled_before_any_key_waits_on_a_chain) {
  for (std::uint32_t seed = 0; seed < 20; ++seed) {
    std::vector<Bucket> buckets(128, Bucket{});
    std::vector<FlowEntry> entries(buckets.size() * kSlots - 8);
    TableView table;
    table.buckets = buckets.data();
    table.entries = entries.data();
    table.bucket_mask = buckets.size() - 1;
    std::mt19937 random(seed);
    for (EntryId id = 0; id < entries.size(); ++id) {
      entries[id].hash = static_cast<std::uint32_t>(random());
      place(table, id);
    }
    std::vector<EntryId> placed;
    for (const Bucket& bucket : buckets) {
      EXPECT_EQ(bucket.chained, 0U) << "seed " << seed;
      for (unsigned slot = 0; slot < kSlots; ++slot) {
        if (bucket.tags[slot] != 0) placed.push_back(bucket.entries[slot]);
      }
    }
    std::ranges::sort(placed);
    ASSERT_EQ(placed.size(), entries.size());
    ASSERT_EQ(std::ranges::adjacent_find(placed), placed.end()) << "an entry is there twice, and one is lost";
    expect_true_books(table, placed);
  }
}

}  // namespace
}  // namespace sluice::flowtable::test
