// The FDB that a worker leaves, at whatever instant it is killed, and how the next one takes it up.
#include "control/slowpath/fdb_store.hpp"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "control/slowpath/slow_path.hpp"
#include "tests/unit/recovery/every_store.hpp"

namespace sluice::test {
namespace {

using control::Fdb;
using control::fdb_key;
using control::FdbKey;
using control::FdbMemory;
using control::FdbStore;
using flowtable::PortId;

constexpr std::uint64_t kSecond = 1'000'000'000;
constexpr std::uint64_t kTick = 1U << 16U;  // what is noted is no finer

FdbKey key(unsigned i, std::uint16_t vlan = 1) {
  return fdb_key(vlan, {{2, 0, 0, 0, static_cast<std::uint8_t>(i >> 8U), static_cast<std::uint8_t>(i)}});
}

using Known = std::map<FdbKey, std::pair<PortId, std::uint64_t>>;

Known known(const Fdb& fdb) {
  Known all;
  for (const auto& entry : fdb.entries()) all[entry.key] = {entry.port, entry.seen_ns / kTick};
  return all;
}

Known left(FdbMemory& memory) {
  Known all;
  FdbStore store(memory, {});
  for (const auto& entry : store.take_up()) {
    EXPECT_TRUE(all.emplace(entry.key, std::pair(entry.port, entry.seen_ns / kTick)).second)
        << "an address is there twice";
  }
  return all;
}

/// Without ages.
std::map<FdbKey, PortId> places(const Known& known) {
  std::map<FdbKey, PortId> all;
  for (const auto& [address, where] : known) all[address] = where.first;
  return all;
}

bool any(FdbKey, PortId) { return true; }

Fdb::Options options(std::size_t limit = 100) { return {.limit = limit, .ageing_ns = 300 * kSecond, .hash_secret = 7}; }

/// Anything that an FDB may be asked to do.
struct Deed {
  unsigned kind;
  FdbKey what;
  PortId port;
  std::uint64_t now;

  void operator()(Fdb& fdb) const {
    if (kind == 0) fdb.erase(what);
    if (kind == 1) fdb.refresh(what, port, now);
    if (kind == 2) fdb.flush(port);
    if (kind == 3) fdb.flush();
    if (kind > 3) fdb.learn(what, port, now);
  }
};

std::vector<Deed> deeds(std::size_t count, unsigned seed, std::uint64_t from = 0) {
  std::mt19937 random(seed);
  const auto any = [&](unsigned below) { return static_cast<unsigned>(random() % below); };
  std::vector<Deed> all;
  for (std::size_t i = 0; i < count; ++i) {
    const unsigned kind = any(10) == 3 ? (any(4) == 0 ? 3 : 1) : any(10);
    all.push_back({kind, key(any(12)), static_cast<PortId>(any(3)), from + i * kSecond});
  }
  return all;
}

class FdbStoreTest : public ::testing::Test {
 protected:
  Shared<FdbMemory> memory_;
};

TEST_F(FdbStoreTest, a_kill_leaves_each_entry_as_it_was_before_or_after_what_was_going_on) {
  constexpr unsigned kSteps = 60;
  for (unsigned seed = 0; seed < 2; ++seed) {
    Shared<FdbMemory> memory;
    std::vector<Known> after{Known()};
    Fdb model(options(8));
    const auto what = deeds(kSteps, seed);
    for (unsigned i = 0; i < kSteps; ++i) {
      what[i](model);
      after.push_back(known(model));
    }
    Fdb fdb(options(8), FdbStore(*memory, {}));
    const auto stores = at_every_store(
        {bytes_of(*memory, 64 * sizeof(control::FdbRecord))}, kSteps, [&](unsigned i) { what[i](fdb); },
        [&](unsigned i) {
          const Known& before = after[i];
          const Known& then = after[i + 1];
          const Known now = left(*memory);
          for (const auto& [address, where] : now) {
            const auto was = before.find(address);
            const auto is = then.find(address);
            EXPECT_TRUE((was != before.end() && was->second == where) || (is != then.end() && is->second == where))
                << "in step " << i << " of seed " << seed << ", address " << static_cast<std::uint64_t>(address);
          }
          for (const auto& [address, where] : before) {
            EXPECT_TRUE(!then.contains(address) || now.contains(address)) << "in step " << i << " of seed " << seed;
          }
        });
    EXPECT_GT(stores, kSteps / 2);
    EXPECT_EQ(left(*memory), after.back());
  }
}

TEST_F(FdbStoreTest, as_long_as_the_changes_are_the_same_each_address_is_where_it_was_also_after_a_kill) {
  constexpr unsigned kSteps = 100;
  Fdb fdb(options(8), FdbStore(*memory_, {}));
  const FdbStore reader(*memory_, {});
  const auto what = deeds(kSteps, 5);
  auto changes = reader.changes();
  auto then = places(left(*memory_));
  unsigned changed = 0;
  at_every_store(
      {bytes_of(*memory_, 64 * sizeof(control::FdbRecord))}, kSteps, [&](unsigned i) { what[i](fdb); },
      [&](unsigned i) {
        const auto now = places(left(*memory_));
        if (reader.changes() == changes) {
          EXPECT_EQ(now, then) << "in step " << i;
        }
        if (!reader.changes()) return;
        changed += now != then ? 1 : 0;
        changes = reader.changes();
        then = now;
      });
  EXPECT_TRUE(reader.changes());
  EXPECT_GT(changed, 10U);
}

TEST_F(FdbStoreTest, a_preview_says_what_the_other_worker_says_and_tells_what_has_changed_since_the_last_one) {
  for (unsigned seed = 0; seed < 20; ++seed) {
    Shared<FdbMemory> memory;
    Fdb works(options(), FdbStore(*memory, {}));
    Fdb next(options(), FdbStore(*memory, {}));
    std::uint64_t now = 0;
    unsigned deed = 0;
    const auto what = deeds(200, seed);
    for (unsigned round = 0; round < 20; ++round) {
      const auto before = places(known(next));
      std::set<FdbKey> touched;
      for (unsigned i = 0; i < round % 4; ++i, ++deed) {
        const auto then = places(known(works));
        what[deed](works);
        for (unsigned k = 0; k < 12; ++k) {
          if (works.lookup(key(k)) != (then.contains(key(k)) ? std::optional(then.at(key(k))) : std::nullopt))
            touched.insert(key(k));
        }
      }
      now = what[deed].now;
      next.preview(now, any);
      const auto after = places(known(next));
      EXPECT_EQ(after, places(known(works)));
      std::set<FdbKey> changes;
      for (const FdbKey one : next.take_changes()) changes.insert(one);
      for (unsigned i = 0; i < 12; ++i) {
        const auto was = before.find(key(i));
        const auto is = after.find(key(i));
        const bool differs =
            (was == before.end()) != (is == after.end()) || (was != before.end() && was->second != is->second);
        EXPECT_GE(changes.contains(key(i)), differs) << "seed " << seed << ", round " << round;
        EXPECT_GE(touched.contains(key(i)), changes.contains(key(i))) << "seed " << seed << ", round " << round;
      }
    }
    const auto noted = left(*memory);
    next.take_up(now, any);
    EXPECT_EQ(known(next), known(works)) << "ages too";
    EXPECT_TRUE(next.take_changes().empty());
    EXPECT_EQ(left(*memory), noted);
    EXPECT_TRUE(next.learn(key(20), 1, now));
    EXPECT_EQ(left(*memory).size(), noted.size() + 1);
  }
}

TEST_F(FdbStoreTest, a_preview_after_the_first_looks_into_nothing_but_what_has_moved) {
  Fdb works(options(), FdbStore(*memory_, {}));
  for (unsigned i = 0; i < 100; ++i) works.learn(key(i), 1, 10 * kSecond);
  Fdb next(options(), FdbStore(*memory_, {}));
  next.preview(20 * kSecond, any);
  EXPECT_EQ(next.take_changes().size(), 100U);
  for (unsigned i = 0; i < 99; ++i) works.refresh(key(i), 1, 30 * kSecond);
  works.learn(key(99), 2, 30 * kSecond);
  std::set<FdbKey> asked;
  next.preview(40 * kSecond, [&](FdbKey one, PortId) { return asked.insert(one).second; });
  EXPECT_EQ(asked, std::set{key(99)});
  for (const FdbKey one : next.take_changes()) EXPECT_EQ(one, key(99));
  EXPECT_EQ(next.lookup(key(99)), 2);
  EXPECT_EQ(next.lookup(key(98)), 1);
  next.take_up(40 * kSecond, any);
  EXPECT_EQ(known(next), known(works));
}

TEST_F(FdbStoreTest, of_an_address_that_is_written_down_twice_the_latest_counts) {
  const std::vector<PortId> ports{1, 2};
  FdbStore before(*memory_, {});
  for (const PortId latest : ports) {
    for (const PortId port : ports) {
      static_cast<void>(before.add(key(latest), port, (port == latest ? 20 : 10) * kSecond));
    }
  }
  Fdb next(options(), FdbStore(*memory_, {}));
  next.take_up(30 * kSecond, any);
  EXPECT_EQ(next.size(), 2U);
  for (const PortId latest : ports) EXPECT_EQ(next.lookup(key(latest)), latest);
  next.forget_unwanted();
  EXPECT_EQ(left(*memory_), known(next)) << "and no other is left";
  EXPECT_EQ(next.flush(1), 1U);
  EXPECT_EQ(next.flush(2), 1U);
}

TEST_F(FdbStoreTest, the_next_fdb_begins_with_all_that_the_last_one_knew_and_writes_on_where_it_stopped) {
  for (unsigned seed = 0; seed < 20; ++seed) {
    Known before;
    for (unsigned worker = 0; worker < 5; ++worker) {
      Fdb fdb(options(), FdbStore(*memory_, {}));
      fdb.take_up(worker * 60 * kSecond, [](FdbKey, PortId) { return true; });
      EXPECT_EQ(known(fdb), before);
      for (const Deed& deed : deeds(60, seed * 10 + worker, worker * 60 * kSecond)) deed(fdb);
      before = known(fdb);
      EXPECT_EQ(left(*memory_), before);
    }
    Fdb other(options(), FdbStore(*memory_, {}));
    other.take_up(1000 * kSecond, [](FdbKey, PortId) { return false; });
    EXPECT_EQ(other.size(), 0U);
    EXPECT_EQ(left(*memory_), before) << "whoever comes instead of it may want them";
    other.forget_unwanted();
    EXPECT_TRUE(left(*memory_).empty());
  }
  EXPECT_LE(memory_->used.load(), 12U) << "records are used again";
}

TEST_F(FdbStoreTest, ages_go_on) {
  Fdb(options(), FdbStore(*memory_, {})).learn(key(1), 1, 10 * kSecond);
  Fdb next(options(), FdbStore(*memory_, {}));
  next.take_up(200 * kSecond, [](FdbKey, PortId) { return true; });
  EXPECT_NEAR(static_cast<double>(*next.next_expiry_ns()), 310.0 * kSecond, kTick);
  Fdb late(options(), FdbStore(*memory_, {}));
  late.take_up(311 * kSecond, [](FdbKey, PortId) { return true; });
  EXPECT_EQ(late.size(), 0U);
  late.forget_unwanted();
  EXPECT_TRUE(left(*memory_).empty());
}

TEST_F(FdbStoreTest, what_nobody_wanted_is_one_with_what_is_learnt_of_it_and_goes_with_all_others) {
  Fdb first(options(), FdbStore(*memory_, {}));
  for (unsigned i = 0; i < 3; ++i) first.learn(key(i), 1, 10 * kSecond);
  Fdb next(options(), FdbStore(*memory_, {}));
  next.take_up(20 * kSecond, [](FdbKey one, PortId) { return one == key(0); });
  EXPECT_TRUE(next.learn(key(1), 2, 20 * kSecond)) << "it is news";
  EXPECT_EQ(FdbStore(*memory_, {}).take_up().size(), 3U) << "no address is written down twice";
  EXPECT_EQ(left(*memory_).at(key(1)).first, 2);
  next.flush();
  EXPECT_TRUE(left(*memory_).empty());
}

TEST_F(FdbStoreTest, two_workers_that_count_time_differently_mean_the_same_instant) {
  // This one's second is as long as two of the time stamp counter's.
  const control::FdbClock slow{[](std::uint64_t ns) { return ns * 2; }, [](std::uint64_t ticks) { return ticks / 2; }};
  Fdb(options(), FdbStore(*memory_, {})).learn(key(1), 1, 100 * kSecond);
  Fdb next(options(), FdbStore(*memory_, slow));
  next.take_up(60 * kSecond, [](FdbKey, PortId) { return true; });
  EXPECT_NEAR(static_cast<double>(next.entries().at(0).seen_ns), 50.0 * kSecond, kTick);
}

TEST_F(FdbStoreTest, of_more_than_the_limit_the_latest_stay) {
  Fdb fdb(options(), FdbStore(*memory_, {}));
  for (unsigned i = 0; i < 50; ++i) fdb.learn(key(i), 1, (100 - i) * kSecond);
  Fdb next(options(20), FdbStore(*memory_, {}));
  next.take_up(100 * kSecond, [](FdbKey, PortId) { return true; });
  ASSERT_EQ(next.size(), 20U);
  for (unsigned i = 0; i < 20; ++i) EXPECT_TRUE(next.lookup(key(i)));
  EXPECT_EQ(left(*memory_).size(), 50U);
  next.forget_unwanted();
  EXPECT_EQ(left(*memory_), known(next));
}

TEST_F(FdbStoreTest, entries_of_ports_that_are_gone_or_no_longer_carry_the_vlan_are_dropped) {
  control::SlowPathOptions path;
  path.fdb_memory = &*memory_;
  const auto vlans = [](std::uint16_t tag) {
    return control::VlanConfig{control::VlanConfig::Mode::access, tag, {}, {}};
  };
  {
    control::SlowPath slow(path, {});
    for (PortId port = 0; port < 3; ++port) {
      slow.set_port(port, "p" + std::to_string(port), vlans(5));
      ASSERT_TRUE(slow.announce({{2, 0, 0, 0, 0, static_cast<std::uint8_t>(port)}}, port));
    }
  }
  control::SlowPath slow(path, {});
  slow.set_port(0, "stays", vlans(5));
  slow.set_port(1, "moves", vlans(6));
  slow.take_up_fdb(kSecond);
  ASSERT_EQ(slow.fdb_size(), 1U);
  EXPECT_EQ(slow.fdb().at(0).port, 0);
  EXPECT_EQ(left(*memory_).size(), 3U);
  slow.forget_unwanted_of_fdb();
  EXPECT_EQ(left(*memory_).size(), 1U);
}

}  // namespace
}  // namespace sluice::test
