#include "control/slowpath/fdb.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>

namespace sluice::control {
namespace {

flowtable::MacAddress mac(unsigned n) {
  return {{0x02, 0, 0, static_cast<std::uint8_t>(n >> 16U), static_cast<std::uint8_t>(n >> 8U),
           static_cast<std::uint8_t>(n)}};
}
FdbKey key(unsigned n, std::uint16_t vlan = 1) { return fdb_key(vlan, mac(n)); }

TEST(Fdb, a_key_holds_vlan_and_address) {
  EXPECT_EQ(vlan_of(key(0x123456, 4094)), 4094);
  EXPECT_EQ(mac_of(key(0x123456, 4094)), mac(0x123456));
}

TEST(Fdb, an_address_is_known_in_its_vlan_only) {
  Fdb fdb({});
  EXPECT_TRUE(fdb.learn(key(1, 10), 3, 0));
  EXPECT_EQ(fdb.lookup(key(1, 10)), 3);
  EXPECT_EQ(fdb.lookup(key(1, 11)), std::nullopt);
}

TEST(Fdb, news_are_new_entries_and_moves_and_no_others) {
  Fdb fdb({});
  EXPECT_TRUE(fdb.learn(key(1), 3, 0));
  EXPECT_FALSE(fdb.learn(key(1), 3, 5));
  EXPECT_EQ(fdb.take_changes().size(), 1U);
  EXPECT_TRUE(fdb.learn(key(1), 4, 6));
  EXPECT_EQ(fdb.lookup(key(1)), 4);
  EXPECT_FALSE(fdb.take_changes().empty());
  fdb.refresh(key(1), 4, 9);
  EXPECT_TRUE(fdb.take_changes().empty());
}

TEST(Fdb, a_port_that_floods_addresses_pushes_out_its_own_only) {
  Fdb fdb({.limit = 100, .ageing_ns = 0});
  for (unsigned i = 0; i < 20; ++i) fdb.learn(key(i), 1, i);
  for (unsigned i = 0; i < 50; ++i) fdb.learn(key(1000 + i), 2, 100 + i);
  for (unsigned i = 0; i < 100'000; ++i) fdb.learn(key(10'000 + i), 3, 1000 + i);
  EXPECT_EQ(fdb.size(), 100U);
  for (unsigned i = 0; i < 20; ++i) EXPECT_EQ(fdb.lookup(key(i)), 1);
  // 30 + 50 + 20: port 3 took what was free, then what was port 2's until it had the most itself.
  std::map<flowtable::PortId, int> of_port;
  for (const auto& entry : fdb.entries()) ++of_port[entry.port];
  EXPECT_EQ(of_port[1], 20);
  EXPECT_GE(of_port[2], 40);
  EXPECT_EQ(fdb.lookup(key(10'000 + 99'999)), 3);
}

TEST(Fdb, of_equals_the_learner_loses_its_own_oldest) {
  Fdb fdb({.limit = 4, .ageing_ns = 0});
  fdb.learn(key(1), 1, 1);
  fdb.learn(key(2), 1, 2);
  fdb.learn(key(3), 2, 3);
  fdb.learn(key(4), 2, 4);
  fdb.refresh(key(3), 2, 9);
  fdb.learn(key(5), 2, 10);
  EXPECT_EQ(fdb.lookup(key(4)), std::nullopt) << "the oldest by when it was seen, not by when it was learnt";
  EXPECT_EQ(fdb.lookup(key(1)), 1);
  EXPECT_EQ(fdb.lookup(key(3)), 2);
}

TEST(Fdb, of_two_addresses_learnt_at_one_time_the_second_does_not_push_out_the_first) {
  for (const unsigned first : {5U, 0U}) {  // whichever is the smaller
    Fdb fdb({.limit = 4, .ageing_ns = 0});
    for (unsigned n = 1; n <= 4; ++n) fdb.learn(key(n), 1, 7);
    fdb.learn(key(first), 1, 7);
    fdb.learn(key(6), 1, 7);
    EXPECT_EQ(fdb.lookup(key(first)), 1);
    EXPECT_EQ(fdb.lookup(key(6)), 1);
    fdb.learn(key(3), 1, 7);  // heard again
    fdb.learn(key(7), 1, 7);
    EXPECT_EQ(fdb.lookup(key(3)), 1);
  }
}

TEST(Fdb, ages_by_when_an_address_was_last_seen) {
  Fdb fdb({.limit = 10, .ageing_ns = 100});
  fdb.learn(key(1), 1, 0);
  fdb.learn(key(2), 1, 10);
  fdb.refresh(key(1), 1, 50);
  fdb.refresh(key(1), 1, 20);  // never makes it older
  fdb.refresh(key(2), 2, 90);  // not its port
  EXPECT_EQ(fdb.next_expiry_ns(), 110U);
  EXPECT_FALSE(fdb.expired(109));
  EXPECT_EQ(fdb.expired(110)->key, key(2));
  EXPECT_TRUE(fdb.erase(key(2)));
  EXPECT_EQ(fdb.next_expiry_ns(), 150U);
}

TEST(Fdb, with_an_ageing_of_zero_nothing_ages) {
  Fdb fdb({.limit = 10, .ageing_ns = 0});
  fdb.learn(key(1), 1, 0);
  EXPECT_FALSE(fdb.expired(~0ULL));
  EXPECT_FALSE(fdb.next_expiry_ns());
}

TEST(Fdb, with_a_limit_of_zero_nothing_is_learnt) {
  Fdb fdb({.limit = 0});
  EXPECT_FALSE(fdb.learn(key(1), 1, 0));
  EXPECT_EQ(fdb.size(), 0U);
}

TEST(Fdb, any_calls_leave_what_a_simple_map_has) {
  std::mt19937 random(1);
  for (unsigned run = 0; run < 50; ++run) {
    Fdb fdb({.limit = 1000, .ageing_ns = 500, .hash_secret = run});
    struct Place {
      flowtable::PortId port;
      std::uint64_t seen;
      bool operator==(const Place&) const = default;
    };
    std::map<FdbKey, Place> model;
    std::map<FdbKey, std::optional<flowtable::PortId>> told;  // what one who listens to changes believes
    for (std::uint64_t now = 0; now < 2000; now += random() % 8) {
      const auto k = key(static_cast<unsigned>(random() % 60), static_cast<std::uint16_t>(random() % 3));
      const auto port = static_cast<flowtable::PortId>(random() % 5);
      switch (random() % 10) {
        case 0: {
          const auto gone = std::erase_if(model, [&](const auto& e) { return e.second.port == port; });
          EXPECT_EQ(fdb.flush(port), gone);
          break;
        }
        case 1:
          if (random() % 20 == 0) {
            EXPECT_EQ(fdb.flush(), model.size());
            model.clear();
          }
          break;
        case 2: EXPECT_EQ(fdb.erase(k), model.erase(k) != 0); break;
        case 3:
        case 4:
          fdb.refresh(k, port, now);
          if (model.contains(k) && model[k].port == port) model[k].seen = now;
          break;
        default:
          EXPECT_EQ(fdb.learn(k, port, now), !model.contains(k) || model[k].port != port);
          model[k] = {port, now};
      }
      const auto oldest = std::ranges::min_element(model, {}, [](const auto& e) { return e.second.seen; });
      if (oldest != model.end()) {
        EXPECT_EQ(fdb.next_expiry_ns(), oldest->second.seen + 500);
      }
      for (const auto changed : fdb.take_changes()) told[changed] = fdb.lookup(changed);
      for (const auto& [known, port_now] : told) EXPECT_EQ(port_now, fdb.lookup(known));
      ASSERT_EQ(fdb.size(), model.size());
      for (const auto& entry : fdb.entries()) {
        ASSERT_EQ((Place{entry.port, entry.seen_ns}), model.at(entry.key));
        ASSERT_EQ(told[entry.key], entry.port);
      }
    }
  }
}

}  // namespace
}  // namespace sluice::control
