// The flows of a worker are in the tables of the next one before their packets come, and say what that one decides.
#include "control/slowpath/flow_list.hpp"

#include <gmock/gmock.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <vector>

#include "tests/unit/recovery/every_store.hpp"
#include "tests/unit/rules/random_rule.hpp"
#include "tests/unit/slowpath/world.hpp"

namespace sluice::control::test {
namespace {

using flowtable::FlowKey;
using flowtable::PortId;
using ports::UniqueFd;
using sluice::test::bytes_of;
using sluice::test::Shared;

UniqueFd listed(const World& world) {
  FlowListing listing{std::move(*FlowListWriter::create())};
  while (world.slow->list_flows(listing, world.now)) continue;
  return listing.list.finish();
}

/// A worker and the one that is to take over, which share what is written down of the FDB.
class FlowListTest : public ::testing::Test {
 protected:
  FlowListTest() {
    for (World* world : {&before, &next}) {
      for (PortId id = 0; id < 4; ++id) world->slow->set_port(id, "p" + std::to_string(id), {});
    }
    before.settle();
  }

  SlowPathOptions options() {
    SlowPathOptions options;
    options.fdb_memory = &*memory;
    return options;
  }
  static std::string flow(unsigned from, unsigned to, unsigned address) {
    return "in_port=p" + std::to_string(from) + ",dl_src=" + mac(from) + ",dl_dst=" + mac(to) + ",ip,nw_dst=10.0." +
           std::to_string(address / 256) + "." + std::to_string(address % 256);
  }
  std::size_t hand_over() {
    auto list = FlowListReader::open(listed(before));
    EXPECT_TRUE(list);
    next.now = before.now;
    return next.slow->adopt_flows(*list, next.now);
  }
  void take_over() {
    next.slow->take_up_fdb(next.now);
    next.settle();
  }

  Shared<FdbMemory> memory;
  World before{options()};
  World next{options()};
};

TEST_F(FlowListTest, flows_are_there_before_their_packets_and_nothing_comes_up) {
  for (World* world : {&before, &next})
    world->slow->add_rule(world->parsed("priority=10,ip,nw_dst=10.0.0.7,actions=drop"));
  before.settle();
  before.send(flow(1, 0, 0));
  for (unsigned i = 0; i < 100; ++i) before.send(flow(0, 1, i));
  EXPECT_EQ(hand_over(), 101U);
  EXPECT_EQ(next.slow->flow_count(), 101U);
  const auto as_before = [&] {
    for (unsigned i = 0; i < 100; ++i) {
      const auto key = next.key(flow(0, 1, i));
      EXPECT_EQ(next.installed(key), before.installed(key)) << i;
      EXPECT_EQ(next.installed(key) == "output:p1", i != 7) << next.installed(key);
    }
  };
  as_before();
  take_over();
  as_before();
  EXPECT_EQ(next.slow->upcalls_waiting(), 0U);
  EXPECT_EQ(next.slow->flow_count(), 101U);
}

TEST_F(FlowListTest, what_an_address_has_become_by_the_time_of_the_take_over_counts) {
  before.send(flow(1, 0, 0));
  before.send(flow(0, 1, 1));
  before.send(flow(2, 3, 2));
  EXPECT_EQ(hand_over(), 3U);
  EXPECT_EQ(next.installed(next.key(flow(0, 1, 1))), "output:p1");
  before.slow->announce(next.key(flow(1, 0, 0)).dl_src, 3);  // it moves from p1 to p3
  before.settle();
  next.slow->correct_adopted_flows(next.now);
  EXPECT_EQ(next.installed(next.key(flow(0, 1, 1))), "output:p3") << "before the first packet";
  next.pmd->run(next.now);
  EXPECT_EQ(next.installed(next.key(flow(1, 0, 0))), "") << "by what the PMD carries out before its first packet";
  take_over();
  EXPECT_EQ(next.installed(next.key(flow(0, 1, 1))), "output:p3");
  EXPECT_EQ(next.installed(next.key(flow(1, 0, 0))), "") << "its source is elsewhere: its next packet has to be seen";
  EXPECT_NE(next.installed(next.key(flow(2, 3, 2))), "");
}

TEST_F(FlowListTest, without_flows_that_were_adopted_there_is_nothing_to_correct) {
  before.send(flow(1, 0, 0));
  next.slow->correct_adopted_flows(next.now);
  EXPECT_EQ(next.slow->fdb_size(), 0U) << "which takes time, while guests wait";
}

TEST_F(FlowListTest, nothing_is_noted_for_the_worker_that_still_works) {
  before.send(flow(1, 0, 0));
  before.send(flow(0, 1, 1));
  const auto all = [&] {
    return std::vector<std::byte>(bytes_of(*memory, 4096).begin(), bytes_of(*memory, 4096).end());
  };
  const auto then = all();
  EXPECT_EQ(hand_over(), 2U);
  next.slow->correct_adopted_flows(next.now);
  EXPECT_EQ(all(), then);
  take_over();
  EXPECT_EQ(next.slow->fdb_size(), 2U);
}

TEST_F(FlowListTest, a_flow_that_needs_a_packet_to_be_decided_waits_for_one) {
  before.send(flow(3, 1, 1));
  before.send(flow(2, 1, 2));
  before.send("in_port=p0,dl_src=" + mac(0) + ",dl_dst=" + mac(1) + ",tcp,nw_dst=10.0.0.1,tp_dst=81");
  next.slow->remove_port(2);
  next.slow->add_rule(next.parsed("priority=10,in_port=p0,tcp,tp_dst=80,actions=drop"));  // reads what nobody has read
  EXPECT_EQ(hand_over(), 1U);
  EXPECT_NE(next.installed(next.key(flow(3, 1, 1))), "");
  before.slow->flush_fdb();  // so that no source is known
  World third(options());
  for (PortId id = 0; id < 4; ++id) third.slow->set_port(id, "p" + std::to_string(id), {});
  auto list = FlowListReader::open(listed(before));
  EXPECT_EQ(list->size(), 3U);
  EXPECT_EQ(third.slow->adopt_flows(*list, before.now), 0U);
}

TEST_F(FlowListTest, a_flow_is_as_idle_as_it_was) {
  before.send(flow(0, 1, 1));
  before.wait(4 * kSecond);
  before.send(flow(2, 1, 2));
  EXPECT_EQ(hand_over(), 2U);
  take_over();
  next.wait(std::chrono::nanoseconds(SlowPathOptions().flows.idle_timeout - std::chrono::seconds(3)).count());
  EXPECT_EQ(next.installed(next.key(flow(0, 1, 1))), "") << "its time was over";
  EXPECT_NE(next.installed(next.key(flow(2, 1, 2))), "");
}

TEST_F(FlowListTest, a_table_takes_no_more_than_its_limit) {
  const auto rule = before.parsed("priority=10,ip,nw_dst=10.9.9.9,actions=drop");  // reads what tells the flows apart
  before.slow->add_rule(rule);
  before.settle();
  for (unsigned i = 0; i < 100; ++i) before.send(flow(0, 1, i));
  SlowPathOptions few = options();
  few.flows.limit = 10;
  World small(few, Sweep::capacity_for(10));
  for (PortId id = 0; id < 4; ++id) small.slow->set_port(id, "p" + std::to_string(id), {});
  small.slow->add_rule(rule);
  auto list = FlowListReader::open(listed(before));
  EXPECT_LT(small.slow->flows_allowed(0), 100U);
  EXPECT_EQ(small.slow->adopt_flows(*list, before.now), small.slow->flows_allowed(0));
}

TEST_F(FlowListTest, many_flows_leave_nothing_to_the_first_rounds_which_guests_wait_for) {
  constexpr unsigned kFlows = 3 * flowtable::FlowTable::kEntriesAPage;
  World first(options(), 4 * kFlows);
  World second(options(), 4 * kFlows);
  for (World* world : {&first, &second}) {
    for (PortId id = 0; id < 2; ++id) world->slow->set_port(id, "p" + std::to_string(id), {});
    world->slow->add_rule(world->parsed("priority=10,ip,nw_dst=10.9.9.9,actions=drop"));
  }
  first.now = second.now = 100 * kSecond;
  first.settle();
  for (unsigned i = 0; i < kFlows; ++i) first.send(flow(0, 1, i));
  auto list = FlowListReader::open(listed(first));
  EXPECT_EQ(second.slow->adopt_flows(*list, second.now), kFlows);
  second.now += 5 * kSecond;  // in which devices were closed
  second.slow->take_up_fdb(second.now);
  static_cast<void>(second.slow->run_once(second.now));
  EXPECT_FALSE(second.slow->run_once(second.now));
  EXPECT_GT(second.slow->next_deadline(), second.now);
}

TEST_F(FlowListTest, a_file_that_is_no_list_of_this_version_is_refused_by_name) {
  before.send(flow(0, 1, 1));
  const auto changed = [&](off_t at, std::uint8_t byte) {
    UniqueFd file = listed(before);
    EXPECT_EQ(::pwrite(file.get(), &byte, 1, at), 1);
    const auto list = FlowListReader::open(std::move(file));
    return list ? std::string("is taken") : list.error().message;
  };
  EXPECT_EQ(changed(0, 0), "this is no list of flows");
  EXPECT_EQ(changed(8, 9), "the list of flows is of version 9, this program's are of version 1");
  EXPECT_THAT(changed(12, 7), ::testing::HasSubstr("masks is not"));
  EXPECT_THAT(changed(16, 7), ::testing::HasSubstr("a list of 7 flows"));
  EXPECT_THAT(changed(23, 0xff), ::testing::HasSubstr("is not"));
  EXPECT_EQ(FlowListReader::open(UniqueFd(::memfd_create("empty", 0))).error().message, "this is no list of flows");
  EXPECT_FALSE(FlowListReader::open({}));
}

class HandOver : public ::testing::TestWithParam<unsigned> {};

/// Whatever has become of rules and ports: a flow that is there says what is decided here, and none is there of a
/// source that is not known.
TEST_P(HandOver, what_is_adopted_is_what_the_next_one_decides) {
  testing::Random random(GetParam());
  const auto below = [&](unsigned n) { return testing::below(random, n); };
  const bool same = GetParam() % 4 == 0;  // nothing has become of them
  const auto vlan = [&]() -> VlanConfig {
    switch (below(4)) {
      case 0: return access(static_cast<std::uint16_t>(1 + below(2)));
      case 1: return trunk({}, static_cast<std::uint16_t>(below(3)));
      default: return {};
    }
  };
  Shared<FdbMemory> memory;
  SlowPathOptions options;
  options.fdb_memory = &*memory;
  World before(options);
  World next(options);
  std::vector<VlanConfig> vlans;
  for (unsigned id = 0; id < testing::kPorts; ++id) vlans.push_back(vlan());
  for (unsigned id = 0; id < testing::kPorts; ++id) {
    const auto port = static_cast<PortId>(id);
    before.slow->set_port(port, "p" + std::to_string(id), vlans[id]);
    if (!same && below(8) == 0) continue;
    next.slow->set_port(port, "p" + std::to_string(id), !same && below(8) == 0 ? vlan() : vlans[id]);
  }
  for (unsigned i = below(8); i != 0; --i) {
    const auto rule = testing::random_rule(random);
    if (same || below(4) != 0) before.slow->add_rule(rule);
    if (same || below(4) != 0) next.slow->add_rule(rule);
  }
  before.settle();
  std::vector<FlowKey> keys;
  const auto send = [&](unsigned count) {
    for (; count != 0; --count) {
      const auto port = static_cast<PortId>(below(testing::kPorts));
      keys.push_back(testing::random_key(random, testing::random_class(random), port));
      before.send(keys.back());
      before.now += kSecond / 100;
    }
  };
  send(150);
  auto list = FlowListReader::open(listed(before));
  ASSERT_TRUE(list);
  next.now = before.now;
  const auto adopted = next.slow->adopt_flows(*list, next.now);
  EXPECT_EQ(next.slow->flow_count(), adopted);
  if (same) {
    EXPECT_EQ(adopted, list->size());
  }
  send(30);  // which may move addresses
  next.now = before.now;
  next.slow->correct_adopted_flows(next.now);
  const auto as_the_next_one_decides = [&] {
    for (const auto& key : keys) {
      if (!next.slow->port_names().all().contains("p" + std::to_string(key.in_port))) continue;
      const auto says = next.installed(key);
      if (!says.empty()) {
        EXPECT_EQ(says, next.decided(key));
      }
    }
  };
  as_the_next_one_decides();
  next.slow->take_up_fdb(next.now);
  as_the_next_one_decides();
  next.settle();
  as_the_next_one_decides();
  const auto fdb = next.slow->fdb();
  for (const auto& key : keys) {
    if (!next.slow->port_names().all().contains("p" + std::to_string(key.in_port))) continue;
    const auto outcome = next.slow->pipeline().decide(key);
    if (next.installed(key).empty()) continue;
    for (const auto source : outcome.learn) {
      EXPECT_TRUE(std::ranges::any_of(
          fdb, [&](const auto& entry) { return entry.key == source && entry.port == key.in_port; }));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, HandOver, ::testing::Range(0U, 40U));

}  // namespace
}  // namespace sluice::control::test
