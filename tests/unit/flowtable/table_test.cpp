// FlowTable against std::unordered_map, and what it promises of memory, ids and full tables.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "tests/unit/flowtable/keys.hpp"

namespace sluice::flowtable::test {
namespace {

struct BytesHash {
  std::size_t operator()(const FlowKey& key) const {
    return std::hash<std::string_view>{}({reinterpret_cast<const char*>(&key), sizeof key});
  }
};
using Model = std::unordered_map<FlowKey, EntryId, BytesHash>;

FlowTable make(std::size_t capacity, const Kernel& with = kernel()) {
  auto table = FlowTable::create(capacity, kSecret, with);
  EXPECT_TRUE(table.has_value());
  return std::move(*table);
}

FlowEntry* add(FlowTable& table, const FlowKey& key) { return table.insert(key, table.hash_of(key)); }

// Looks `keys` up in one burst and checks every answer against the model.
void expect_burst_as_model(const FlowTable& table, const Model& model, const std::vector<FlowKey>& keys) {
  std::array<FlowEntry*, FlowTable::kMaxLookup> entries{};
  std::array<std::uint64_t, FlowTable::kMaxLookup> hashes{};
  table.lookup(keys, std::span(entries).first(keys.size()), std::span(hashes).first(keys.size()));
  for (std::size_t i = 0; i < keys.size(); ++i) {
    ASSERT_EQ(hashes[i], table.hash_of(keys[i])) << "key " << i << " of the burst";
    const auto expected = model.find(keys[i]);
    if (expected == model.end()) {
      ASSERT_EQ(entries[i], nullptr) << "key " << i << " of the burst";
    } else {
      ASSERT_NE(entries[i], nullptr) << "key " << i << " of the burst";
      ASSERT_EQ(entries[i]->id, expected->second);
      ASSERT_EQ(entries[i]->key, keys[i]);
      ASSERT_EQ(entries[i], &table.entry(expected->second));
    }
  }
}

// Random inserts, erases, finds and bursts. The keys come from `pool`, so that all of it meets often.
void run_against_model(FlowTable& table, const std::vector<FlowKey>& pool, std::size_t steps, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  Model model;
  const auto any = [&]() -> const FlowKey& { return pool[random() % pool.size()]; };
  for (std::size_t step = 0; step < steps; ++step) {
    const FlowKey& key = any();
    const auto known = model.find(key);
    FlowEntry* found = table.find(key);
    ASSERT_EQ(found != nullptr, known != model.end()) << "step " << step;
    // Swings between filling up and emptying, so that full and nearly empty tables both come by.
    const bool filling = (step / (4 * table.capacity())) % 2 == 0;
    if (known == model.end() && random() % 8 < (filling ? 8U : 2U)) {
      FlowEntry* added = add(table, key);
      ASSERT_EQ(added == nullptr, model.size() == table.capacity()) << "step " << step;
      if (added != nullptr) {
        ASSERT_EQ(added->key, key);
        ASSERT_EQ(added->decision, nullptr);
        ASSERT_EQ(added->own_packets() + added->own_bytes() + added->used_ns.get() + added->pending, 0U);
        ASSERT_EQ(added->hash, static_cast<std::uint32_t>(table.hash_of(key)));
        added->packets.add(1);
        model.emplace(key, added->id);
      }
    } else if (known != model.end() && random() % 8 < (filling ? 1U : 8U)) {
      ASSERT_EQ(found->id, known->second);
      ASSERT_EQ(found->own_packets(), 1U);
      table.erase(*found);
      model.erase(known);
      ASSERT_EQ(table.find(key), nullptr);
    }
    ASSERT_EQ(table.size(), model.size());
    if (step % 16 == 0) {
      std::vector<FlowKey> burst(1 + random() % FlowTable::kMaxLookup);
      for (std::size_t i = 0; i < burst.size(); ++i) burst[i] = i > 0 && random() % 2 == 0 ? burst[i - 1] : any();
      expect_burst_as_model(table, model, burst);
    }
  }
  for (const auto& [key, id] : model) {
    ASSERT_NE(table.find(key), nullptr);
    ASSERT_EQ(table.find(key)->id, id) << "an entry's id changed while it lived";
  }
}

std::vector<FlowKey> some_keys(std::size_t count) {
  std::vector<FlowKey> keys;
  for (std::uint32_t n = 0; n < count; ++n) keys.push_back(key_of(n));
  return keys;
}

class Capacity : public testing::TestWithParam<std::size_t> {};

TEST_P(Capacity, table_behaves_as_a_map) {
  FlowTable table = make(GetParam());
  run_against_model(table, some_keys(GetParam() + GetParam() / 4 + 2), 40'000, GetParam());
}

TEST_P(Capacity, as_many_flows_as_promised_fit_and_not_one_more) {
  FlowTable table = make(GetParam());
  std::mt19937_64 random(GetParam());
  std::vector<FlowKey> keys;
  for (std::size_t i = 0; i < GetParam(); ++i) {
    keys.push_back(random_key(random));
    ASSERT_NE(add(table, keys.back()), nullptr) << i << " of " << GetParam();
  }
  EXPECT_EQ(add(table, random_key(random)), nullptr);
  EXPECT_EQ(table.size(), GetParam());
  for (const FlowKey& key : keys) ASSERT_NE(table.find(key), nullptr);
  // Full is not for ever.
  table.erase(*table.find(keys.front()));
  EXPECT_NE(add(table, keys.front()), nullptr);
}

// 819 and 1638 flows fill their buckets to the most there is: 80%.
INSTANTIATE_TEST_SUITE_P(Table, Capacity, testing::Values(1, 2, 7, 12, 13, 64, 100, 819, 1638, 5000));

class EveryKernel : public testing::TestWithParam<const Kernel*> {};

// Sixteen of these fit in their two buckets, whatever is moved; the chain takes the others.
TEST_P(EveryKernel, keys_that_share_bucket_and_tag_are_all_found) {
  FlowTable table = make(40, *GetParam());
  const std::vector<FlowKey> keys = colliding_keys(table, 8, 40);
  Model model;
  for (const FlowKey& key : keys) {
    FlowEntry* added = add(table, key);
    ASSERT_NE(added, nullptr);
    model.emplace(key, added->id);
    for (const auto& [other, id] : model) {
      ASSERT_NE(table.find(other), nullptr);
      ASSERT_EQ(table.find(other)->id, id);
    }
  }
  std::mt19937_64 random(1);
  std::vector<FlowKey> order = keys;
  std::shuffle(order.begin(), order.end(), random);
  for (const FlowKey& gone : order) {
    table.erase(*table.find(gone));
    model.erase(gone);
    for (const FlowKey& key : keys) expect_burst_as_model(table, model, {key});
  }
  EXPECT_EQ(table.size(), 0U);
  // Nothing of it stays behind: the table is as good as new.
  for (std::uint32_t n = 0; n < 40; ++n) ASSERT_NE(add(table, key_of(n + 1'000'000)), nullptr);
}

TEST_P(EveryKernel, table_of_colliding_and_other_keys_behaves_as_a_map) {
  FlowTable table = make(40, *GetParam());
  std::vector<FlowKey> pool = colliding_keys(table, 8, 30);
  for (const FlowKey& key : some_keys(30)) {
    if (std::find(pool.begin(), pool.end(), key) == pool.end()) pool.push_back(key);
  }
  run_against_model(table, pool, 60'000, 99);
}

TEST_P(EveryKernel, bursts_of_every_size_with_runs_and_misses_are_answered_as_by_find) {
  FlowTable table = make(1000, *GetParam());
  Model model;
  for (std::uint32_t n = 0; n < 1000; ++n) model.emplace(key_of(n), add(table, key_of(n))->id);
  std::mt19937_64 random(5);
  for (unsigned round = 0; round < 50; ++round) {
    for (std::size_t size = 0; size <= FlowTable::kMaxLookup; ++size) {
      std::vector<FlowKey> burst(size);
      for (std::size_t i = 0; i < size; ++i) {
        burst[i] = i > 0 && random() % 3 == 0 ? burst[i - 1] : key_of(static_cast<std::uint32_t>(random() % 1200));
      }
      expect_burst_as_model(table, model, burst);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Table, EveryKernel, testing::ValuesIn(supported_kernels()));

TEST(Table, keys_that_differ_in_a_single_bit_are_different_flows) {
  FlowTable table = make(1024);
  const FlowKey base = key_of(42);
  ASSERT_NE(add(table, base), nullptr);
  for (std::size_t bit = 0; bit < 512; ++bit) {
    FlowKey key = base;
    reinterpret_cast<std::uint8_t*>(&key)[bit / 8] ^= static_cast<std::uint8_t>(1U << (bit % 8));
    ASSERT_EQ(table.find(key), nullptr) << "bit " << bit;
    ASSERT_NE(add(table, key), nullptr);
    ASSERT_EQ(table.find(key)->key, key);
  }
}

TEST(Table, ids_are_given_out_from_zero_and_the_last_one_freed_is_the_first_reused) {
  FlowTable table = make(100);
  for (std::uint32_t n = 0; n < 10; ++n) ASSERT_EQ(add(table, key_of(n))->id, n);
  table.erase(*table.find(key_of(3)));
  table.erase(*table.find(key_of(7)));
  EXPECT_EQ(add(table, key_of(100))->id, 7U);
  EXPECT_EQ(add(table, key_of(101))->id, 3U);
  EXPECT_EQ(add(table, key_of(102))->id, 10U);
}

TEST(Table, moved_table_keeps_its_flows_where_they_are) {
  FlowTable table = make(100);
  FlowEntry* entry = add(table, key_of(1));
  FlowTable moved = std::move(table);
  EXPECT_EQ(moved.find(key_of(1)), entry);
  EXPECT_EQ(moved.size(), 1U);
  FlowTable assigned = make(5);
  assigned = std::move(moved);
  EXPECT_EQ(assigned.find(key_of(1)), entry);
  EXPECT_EQ(assigned.capacity(), 100U);
}

TEST(Table, a_table_that_is_cleared_is_as_it_was_when_it_was_new) {
  constexpr std::uint32_t kFlows = 1000;
  FlowTable table = make(kFlows);
  for (unsigned round = 0; round < 2; ++round) {
    for (std::uint32_t n = 0; n < kFlows; ++n) {
      FlowEntry* const entry = add(table, key_of(n));
      ASSERT_NE(entry, nullptr);
      EXPECT_EQ(entry->id, n);
      EXPECT_EQ(entry->packets.get(), 0U);
      entry->packets.add(7);
    }
    table.erase(*table.find(key_of(3)));
    table.clear();
    EXPECT_EQ(table.size(), 0U);
    for (std::uint32_t n = 0; n < kFlows; ++n) EXPECT_EQ(table.find(key_of(n)), nullptr);
  }
}

TEST(Table, capacity_out_of_range_is_an_error) {
  EXPECT_EQ(FlowTable::create(0, kSecret).error(), EINVAL);
  EXPECT_EQ(FlowTable::create(FlowTable::kMaxCapacity + 1, kSecret).error(), EINVAL);
}

std::size_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  std::size_t size = 0;
  std::size_t resident = 0;
  file >> size >> resident;
  return resident * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
}

TEST(Table, a_million_flows_take_at_most_192_mib_and_few_flows_little) {
  constexpr std::size_t kMib = std::size_t{1} << 20U;
  const std::size_t before = resident_bytes();
  FlowTable table = make(1'000'000);
  EXPECT_LE(table.reserved_bytes(), 192 * kMib);
  EXPECT_LE(resident_bytes() - before, 1 * kMib);
  for (std::uint32_t n = 0; n < 1000; ++n) add(table, key_of(n));
  EXPECT_LE(resident_bytes() - before, 8 * kMib);
}

TEST(Table, a_million_flows_are_all_found_among_as_many_that_are_not_there) {
  FlowTable table = make(1'000'000);
  for (std::uint32_t n = 0; n < 1'000'000; ++n) ASSERT_EQ(add(table, key_of(2 * n))->id, n);
  EXPECT_EQ(add(table, key_of(1)), nullptr);
  std::array<FlowKey, FlowTable::kMaxLookup> keys;
  std::array<FlowEntry*, FlowTable::kMaxLookup> entries;
  std::array<std::uint64_t, FlowTable::kMaxLookup> hashes;
  for (std::uint32_t n = 0; n < 2'000'000; n += FlowTable::kMaxLookup) {
    for (std::uint32_t i = 0; i < keys.size(); ++i) keys[i] = key_of(n + i);
    table.lookup(keys, entries, hashes);
    for (std::uint32_t i = 0; i < keys.size(); ++i) {
      ASSERT_EQ(entries[i] == nullptr, (n + i) % 2 == 1) << n + i;
      if (entries[i] != nullptr) {
        ASSERT_EQ(entries[i]->id, (n + i) / 2);
      }
    }
  }
  for (std::uint32_t n = 0; n < 1'000'000; n += 3) table.erase(*table.find(key_of(2 * n)));
  for (std::uint32_t n = 0; n < 1'000'000; ++n) ASSERT_EQ(table.find(key_of(2 * n)) == nullptr, n % 3 == 0) << n;
}

}  // namespace
}  // namespace sluice::flowtable::test
