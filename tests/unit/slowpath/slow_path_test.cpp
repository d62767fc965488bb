// The slow path around its pipeline: upcalls, time, limits, and what PMDs may still hold.
#include "tests/unit/slowpath/world.hpp"

namespace sluice::control::test {
namespace {

using datapath::Command;
using flowtable::PortId;

std::string tcp(unsigned from, unsigned to, unsigned port, const std::string& in = "in_port=p1") {
  return in + ",tcp,dl_src=" + mac(from) + ",dl_dst=" + mac(to) + ",tp_src=" + std::to_string(port);
}

TEST(SlowPath, a_move_under_many_flows_is_one_exchange_and_no_command) {
  World world;
  for (PortId port = 1; port <= 3; ++port) world.port(port);
  world.rule("priority=1,tcp,tp_src=1,actions=drop");  // TCP is exact in its source port
  ASSERT_TRUE(world.slow->announce({{2, 0, 0, 0, 0, 2}}, 2));
  for (unsigned i = 2; i < 1002; ++i) world.send(tcp(1, 2, i));
  EXPECT_EQ(world.slow->flow_count(), 1000U);
  EXPECT_EQ(world.slow->decision_count(), 1U);
  const auto installs = world.pmd->seen(Command::Kind::install);
  EXPECT_EQ(world.installed(world.key(tcp(1, 2, 500))), "output:p2");
  world.slow->announce({{2, 0, 0, 0, 0, 2}}, 3);
  world.slow->run_once(world.now);
  EXPECT_EQ(world.installed(world.key(tcp(1, 2, 500))), "output:p3");
  world.settle();
  EXPECT_EQ(world.pmd->seen(Command::Kind::install), installs);
  EXPECT_EQ(world.pmd->seen(Command::Kind::remove), 0);
}

TEST(SlowPath, flows_of_a_source_that_moved_away_come_up_again_and_teach) {
  World world;
  for (PortId port = 1; port <= 3; ++port) world.port(port);
  world.send(tcp(1, 2, 1));
  world.send(tcp(1, 2, 1, "in_port=p3"));
  EXPECT_EQ(world.slow->fdb().front().port, 3);
  EXPECT_EQ(world.pmd->find(world.key(tcp(1, 2, 1))), nullptr);
  world.send(tcp(1, 2, 1));
  EXPECT_EQ(world.slow->fdb().front().port, 1);
}

TEST(SlowPath, an_upcall_of_an_old_mask_is_reclassified) {
  World world;
  world.port(1);
  world.port(2);
  world.pmd->packet(world.key(tcp(1, 2, 7)), world.now);
  world.slow->add_rule(world.parsed("tcp,tp_src=7,actions=drop"));
  world.settle();
  EXPECT_EQ(world.pmd->seen(Command::Kind::reclassify), 1);
  EXPECT_EQ(world.installed(world.key(tcp(1, 2, 7))), "drop (rule)");
  EXPECT_EQ(world.actions(tcp(1, 2, 8)), "output:p2");
}

TEST(SlowPath, where_the_mask_stays_flows_change_their_rule_in_place) {
  World world;
  world.port(1);
  world.port(2);
  world.rule("priority=1,tcp,tp_src=1,actions=drop");
  for (unsigned i = 10; i < 20; ++i) world.send(tcp(1, 2, i));
  const auto* entry = world.pmd->find(world.key(tcp(1, 2, 15)));
  const auto* other = world.pmd->find(world.key(tcp(1, 2, 16)))->decision;
  world.rule("priority=2,tcp,tp_src=15,actions=drop");
  EXPECT_EQ(world.installed(world.key(tcp(1, 2, 15))), "drop (rule)");
  EXPECT_EQ(world.pmd->find(world.key(tcp(1, 2, 15))), entry);
  EXPECT_EQ(entry->own_packets(), 1U);
  EXPECT_EQ(world.pmd->find(world.key(tcp(1, 2, 16)))->decision, other);
  EXPECT_TRUE(world.slow->delete_rule(world.parsed("priority=2,tcp,tp_src=15,actions=drop")));
  world.settle();
  EXPECT_EQ(world.installed(world.key(tcp(1, 2, 15))), "output:p2");
  EXPECT_EQ(world.pmd->find(world.key(tcp(1, 2, 15))), entry);
}

TEST(SlowPath, a_flow_that_waits_for_its_new_rule_does_not_follow_what_comes_after_it) {
  World world;
  for (PortId port = 1; port <= 3; ++port) world.port(port);
  world.rule("priority=1,tcp,tp_src=1,actions=drop");  // TCP is exact in its source port
  ASSERT_TRUE(world.slow->announce({{2, 0, 0, 0, 0, 2}}, 2));
  for (unsigned i = 10; i < 20; ++i) world.send(tcp(1, 2, i));
  ASSERT_EQ(world.slow->decision_count(), 1U);
  world.slow->add_rule(world.parsed("priority=1,tcp,tp_src=10,actions=drop"));
  world.slow->announce({{2, 0, 0, 0, 0, 2}}, 3);
  const auto ruled = world.key(tcp(1, 2, 10));
  const auto other = world.key(tcp(1, 2, 11));
  for (int round = 0; round < 5; ++round) {
    world.slow->run_once(world.now);
    EXPECT_EQ(world.installed(ruled), "output:p2") << "never to p3: it was dropped before";
  }
  world.settle();
  EXPECT_EQ(world.installed(ruled), "drop (rule)");
  EXPECT_EQ(world.installed(other), "output:p3");
  EXPECT_EQ(world.slow->decision_count(), 2U) << "the superseded one is gone";
  world.slow->announce({{2, 0, 0, 0, 0, 2}}, 2);
  world.slow->run_once(world.now);
  EXPECT_EQ(world.installed(other), "output:p2") << "in place again";
}

TEST(SlowPath, a_rule_is_said_to_be_in_force_when_no_flow_can_escape_it_any_more) {
  for (const std::string rule : {"priority=1,tcp,tp_src=10", "priority=1,tcp,tp_dst=0"}) {  // mask as before, and not
    World world;
    world.port(1);
    world.port(2);
    world.rule("priority=1,tcp,tp_src=1,actions=drop");
    const auto packet = world.key(tcp(1, 2, 10));
    world.send(packet);
    world.slow->add_rule(world.parsed(rule + ",actions=drop"));
    bool in_force = false;
    world.slow->when_rules_are_in_force([&] { in_force = true; });
    for (int round = 0; round < 5; ++round) world.slow->run_once(world.now);
    EXPECT_FALSE(in_force) << rule << ": the PMD has yet to carry out what it was sent";
    world.pmd->run(world.now);
    world.slow->run_once(world.now);
    EXPECT_TRUE(in_force) << rule;
    const auto now = world.installed(packet);
    EXPECT_TRUE(now.empty() || now == world.decided(packet)) << now;
  }
}

TEST(SlowPath, a_full_command_ring_loses_nothing) {
  World world({}, 4096, 8);
  world.port(1);
  world.port(2);
  world.rule("priority=1,tcp,tp_src=1,actions=drop");
  for (unsigned round = 0; round < 40; ++round) {
    for (unsigned i = 0; i < 8; ++i) world.pmd->packet(world.key(tcp(1, 2, 100 + round * 8 + i)), world.now);
    world.slow->run_once(world.now);
    world.slow->run_once(world.now);
    world.pmd->run(world.now, 3);
  }
  world.settle();
  EXPECT_EQ(world.pmd->seen(Command::Kind::install), 320);
  EXPECT_EQ(world.slow->flow_count(), 320U);
}

TEST(SlowPath, one_port_spraying_flows_does_not_delay_another) {
  World world;
  world.port(1);
  world.port(2);
  world.rule("priority=1,tcp,tp_src=1,actions=drop");
  for (unsigned i = 0; i < 3000; ++i) world.pmd->packet(world.key(tcp(1, 2, 2 + i)), world.now);
  world.slow->run_once(world.now);
  EXPECT_GT(world.slow->upcalls_waiting(), 1000U);
  const auto victim = tcp(2, 1, 9, "in_port=p2");
  world.pmd->packet(world.key(victim), world.now);
  for (int i = 0; i < 3 && world.installed(world.key(victim)).empty(); ++i) {
    world.slow->run_once(world.now);
    world.pmd->run(world.now);
  }
  EXPECT_EQ(world.installed(world.key(victim)), "output:p1");
  EXPECT_GT(world.slow->upcalls_waiting(), 0U);
}

TEST(SlowPath, idle_flows_go_and_busy_ones_stay) {
  World world;
  world.port(1);
  world.port(2);
  world.send(tcp(1, 2, 1));
  world.send(tcp(3, 4, 1));
  for (int i = 0; i < 30; ++i) {
    world.wait(kSecond);
    world.send(tcp(1, 2, 1));
  }
  EXPECT_EQ(world.slow->flow_count(), 1U);
  EXPECT_NE(world.pmd->find(world.key(tcp(1, 2, 1))), nullptr);
}

TEST(SlowPath, addresses_age_by_the_last_packet_of_their_flows) {
  World world;
  world.port(1);
  world.port(2);
  world.send(tcp(1, 2, 1));
  world.send(tcp(3, 4, 1));
  for (int i = 0; i < 100; ++i) {
    world.wait(5 * kSecond);
    world.send(tcp(1, 2, 1));
    EXPECT_EQ(world.slow->fdb_size(), world.now < 1300 * kSecond ? 2U : 1U) << i;
  }
  world.wait(300 * kSecond - 1);
  EXPECT_EQ(world.slow->fdb_size(), 1U);
  world.wait(2);
  EXPECT_EQ(world.slow->fdb_size(), 0U);
}

TEST(SlowPath, when_the_table_is_full_the_coldest_flows_go) {
  World world({}, 64);
  world.port(1);
  world.port(2);
  world.rule("priority=1,tcp,tp_src=1,actions=drop");
  for (unsigned i = 0; i < 40; ++i) {
    world.send(tcp(1, 2, 100 + i));
    world.now += kSecond / 1000;
  }
  for (unsigned i = 0; i < 20; ++i) world.send(tcp(1, 2, 100 + i));  // half of them are hot
  for (unsigned i = 0; i < 30; ++i) {
    world.now += kSecond / 1000;
    world.send(tcp(1, 2, 1000 + i));
  }
  EXPECT_LE(world.slow->flow_count(), 61U);
  EXPECT_EQ(world.pmd->table_full(), 0);
  for (unsigned i = 0; i < 20; ++i) EXPECT_NE(world.installed(world.key(tcp(1, 2, 100 + i))), "") << i;
  for (unsigned i = 20; i < 29; ++i) EXPECT_EQ(world.installed(world.key(tcp(1, 2, 100 + i))), "") << i;
}

TEST(SlowPath, the_flow_limit_holds) {
  SlowPathOptions options;
  options.flows.limit = 50;
  World world(options);
  world.port(1);
  world.port(2);
  world.rule("priority=1,tcp,tp_src=1,actions=drop");
  for (unsigned i = 0; i < 50; ++i) world.send(tcp(1, 2, 100 + i));
  EXPECT_EQ(world.slow->flow_count(), 50U);
  for (unsigned i = 0; i < 500; ++i) world.send(tcp(1, 2, 1000 + i));
  EXPECT_EQ(world.slow->flow_count(), 50U);
}

TEST(SlowPath, rules_count_flows_that_are_gone_as_well) {
  World world;
  world.port(1);
  world.port(2);
  world.rule("priority=5,tcp,tp_src=5,actions=drop");
  for (int i = 0; i < 3; ++i) world.send(tcp(1, 2, 5));
  world.wait(60 * kSecond);
  EXPECT_EQ(world.slow->flow_count(), 0U);
  world.send(tcp(1, 2, 5));
  ASSERT_EQ(world.slow->rules().size(), 1U);
  EXPECT_EQ(world.slow->rules()[0].packets, 4U);
  EXPECT_EQ(world.slow->rules()[0].bytes, 4U * 64);
}

/// The slow path has given the flow up, and its PMD is still to hear of it.
World with_a_flow_on_its_way_out() {
  World world;
  world.port(1);
  world.port(2);
  world.rule("priority=5,tcp,tp_src=5,actions=drop");
  world.rule("priority=5,tcp,tp_src=6,actions=drop");
  world.send(tcp(1, 2, 5));
  world.now += 60 * kSecond;
  while (world.slow->flow_count() != 0) world.slow->run_once(world.now);
  for (int i = 0; i < 2; ++i) world.pmd->packet(world.key(tcp(1, 2, 5)), world.now);
  return world;
}

TEST(SlowPath, rules_count_what_a_flow_has_until_its_pmd_has_erased_it) {
  World world = with_a_flow_on_its_way_out();
  world.pmd->run(world.now);
  EXPECT_EQ(world.pmd->table().size(), 0U);
  world.settle();
  EXPECT_EQ(world.slow->rules()[0].packets, 3U);
  EXPECT_EQ(world.slow->rules()[0].bytes, 3U * 64);
}

TEST(SlowPath, what_a_flow_has_had_at_last_is_its_rules_also_if_its_entry_is_another_flow_by_then) {
  World world = with_a_flow_on_its_way_out();
  const auto* const entry = world.pmd->find(world.key(tcp(1, 2, 5)));
  world.pmd->run(world.now);
  for (int i = 0; i < 4; ++i) world.pmd->packet(world.key(tcp(1, 2, 6)), world.now);
  ASSERT_EQ(world.pmd->find(world.key(tcp(1, 2, 6))), entry);
  world.settle();
  EXPECT_EQ(world.slow->rules()[0].packets, 3U);
  EXPECT_EQ(world.slow->rules()[1].packets, 4U);
  ASSERT_EQ(world.slow->flows(10).size(), 1U);
  EXPECT_EQ(world.slow->flows(10)[0].packets, 4U);
}

TEST(SlowPath, a_port_that_left_is_forgotten_when_no_pmd_can_name_it) {
  World world;
  for (PortId port = 1; port <= 3; ++port) world.port(port);
  world.send(tcp(1, 2, 1, "in_port=p2"));
  world.send(tcp(2, 1, 1));
  EXPECT_EQ(world.installed(world.key(tcp(2, 1, 1))), "output:p2");
  world.pmd->loop().enter();
  const auto* entry = world.pmd->find(world.key(tcp(2, 1, 1)));
  const auto* held = entry->decision->actions();
  world.slow->remove_port(2);
  world.settle();
  EXPECT_EQ(world.installed(world.key(tcp(2, 1, 1))), "output:p3");
  EXPECT_FALSE(world.slow->forgotten(2));
  EXPECT_EQ(held->only_output(), 2) << "the PMD is in the loop in which it read the list";
  world.pmd->loop().leave();
  world.settle();
  world.settle();
  EXPECT_TRUE(world.slow->forgotten(2));
}

TEST(SlowPath, a_port_whose_packets_still_wait_is_not_forgotten) {
  World world;
  world.port(1);
  world.port(2);
  // One that a command on its way will send up again, more of another port than a round takes, and one behind them.
  world.pmd->packet(world.key(tcp(1, 2, 60000)), world.now);
  world.slow->add_rule(world.parsed("tcp,tp_src=60000,actions=drop"));
  world.slow->run_once(world.now);
  for (unsigned i = 0; i < 3000; ++i) world.pmd->packet(world.key(tcp(2, 1, i, "in_port=p2")), world.now);
  world.pmd->packet(world.key(tcp(1, 2, 60001)), world.now);
  world.slow->remove_port(1);
  ASSERT_EQ(world.pmd->waiting(1), 2U);
  for (unsigned round = 0; !world.slow->forgotten(1); ++round) {
    ASSERT_LT(round, 10000U) << "forgotten some time";
    world.slow->run_once(world.now);
    if (world.slow->forgotten(1)) break;
    world.pmd->run(world.now, 20);
  }
  EXPECT_EQ(world.pmd->waiting(1), 0U);
}

TEST(Sweep, a_table_of_the_capacity_for_a_limit_holds_that_many_flows_and_few_more) {
  for (const std::size_t limit : {1U, 2U, 31U, 32U, 100U, 1000U, 65536U, 1'000'000U, 8'000'000U}) {
    const auto capacity = Sweep::capacity_for(limit);
    SlowPathOptions options;
    options.flows.limit = static_cast<std::uint32_t>(limit);
    const World world(options, capacity);
    EXPECT_EQ(world.slow->flows_allowed(0), limit) << capacity;
    EXPECT_LE(capacity, limit + limit / 30 + 2);
  }
  EXPECT_EQ(Sweep::capacity_for(1U << 24U), flowtable::FlowTable::kMaxCapacity);
}

TEST(SlowPath, packets_of_a_port_that_is_not_there_are_given_up) {
  World world;
  world.port(1);
  world.port(2);
  const auto key = world.key(tcp(1, 2, 1));
  world.pmd->packet(key, world.now);
  world.slow->remove_port(1);
  world.settle();
  EXPECT_EQ(world.pmd->seen(Command::Kind::remove), 1);
  EXPECT_EQ(world.pmd->table().size(), 0U);
}

TEST(SlowPath, flows_of_old_masks_are_removed_when_pmds_use_the_new_ones) {
  World world;
  world.port(1);
  world.port(2);
  world.send(tcp(1, 2, 1));
  world.pmd->loop().enter();
  world.slow->add_rule(world.parsed("tcp,tp_src=7,actions=drop"));
  world.settle();
  EXPECT_EQ(world.pmd->table().size(), 1U) << "the PMD may still be using the old masks";
  world.pmd->loop().leave();
  world.settle();
  EXPECT_EQ(world.pmd->table().size(), 0U);
}

/// More flows than are looked at in a round, all of a mask that is about to change.
struct ManyFlows : World {
  static constexpr unsigned kFlows = 20000;

  ManyFlows() : World({}, 32768, 32768) {
    port(1);
    port(2);
    rule("priority=1,tcp,tp_src=1,actions=drop");
    for (unsigned i = 0; i < kFlows; ++i) pmd->packet(key(tcp(1, 2, 100 + i)), now);
    settle();
    EXPECT_EQ(pmd->table().size(), kFlows);
  }
  void round() {
    slow->run_once(now);
    pmd->run(now);
  }
};

TEST(SlowPath, a_rule_is_in_force_before_the_flows_that_it_put_out_of_reach_are_removed) {
  ManyFlows world;
  world.slow->add_rule(world.parsed("priority=1,tcp,tp_dst=5,actions=drop"));
  bool in_force = false;
  world.slow->when_rules_are_in_force([&] { in_force = true; });
  for (int round = 0; round < 10 && !in_force; ++round) world.round();
  EXPECT_TRUE(in_force);
  EXPECT_NE(world.pmd->table().size(), 0U);
  world.settle();
  EXPECT_EQ(world.pmd->table().size(), 0U);
}

TEST(SlowPath, flows_out_of_reach_are_removed_also_if_rules_never_stop_changing) {
  ManyFlows world;
  world.slow->add_rule(world.parsed("priority=1,tcp,tp_dst=5,actions=drop"));
  for (int round = 0; round < 50; ++round) {
    world.slow->add_rule(world.parsed("priority=1,tcp,tp_dst=6,actions=drop"));
    world.round();
    world.slow->delete_rule(world.parsed("priority=1,tcp,tp_dst=6,actions=drop"));
    world.round();
  }
  EXPECT_EQ(world.pmd->table().size(), 0U);
}

}  // namespace
}  // namespace sluice::control::test
