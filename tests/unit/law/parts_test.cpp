// Small parts that the law rests on: packets that wait, the loop counter, and the slow path's thread.
#include <gtest/gtest.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <random>
#include <thread>

#include "control/rules/parse.hpp"
#include "control/slowpath/fdb.hpp"
#include "control/slowpath/mask_book.hpp"
#include "control/slowpath/slow_path_thread.hpp"
#include "datapath/grace.hpp"
#include "datapath/pending.hpp"
#include "tests/unit/law/frame_of.hpp"
#include "tests/unit/law/joined.hpp"

namespace sluice::test {
namespace {

using datapath::LoopCounter;
using datapath::PendingFlows;
using flowtable::PortId;

TEST(Pending, any_calls_leave_what_sorted_lists_have) {
  rte_mempool* const pool = shared_pool();
  const unsigned before = rte_mempool_avail_count(pool);
  std::mt19937 random(1);
  const auto below = [&](unsigned n) { return static_cast<unsigned>(random() % n); };
  {
    PendingFlows pending({.flows = 8, .flows_per_port = 3, .buffers = 128});
    pending.share_between(2);
    struct Queue {
      PendingFlows::Queue queue;
      PortId port;
      std::map<std::uint64_t, rte_mbuf*> packets;
    };
    std::vector<Queue> model;
    const auto flows_of = [&](PortId port) {
      return std::ranges::count_if(model, [&](const Queue& q) { return q.port == port; });
    };
    const auto buffers_of = [&](PortId port) {
      std::size_t sum = 0;
      for (const auto& q : model) sum += q.port == port ? q.packets.size() : 0;
      return sum;
    };
    for (unsigned step = 0; step < 200'000; ++step) {
      const auto port = static_cast<PortId>(below(2));
      ASSERT_EQ(pending.has_room_for_flow(port), flows_of(port) < 3);
      ASSERT_EQ(pending.has_room_for_packet(port, 1), buffers_of(port) < 64);
      ASSERT_EQ(pending.open_queues(), model.size());
      if (below(4) == 0 && pending.has_room_for_flow(port)) {
        model.push_back({pending.open(port), port, {}});
        continue;
      }
      if (model.empty()) continue;
      const auto chosen = below(static_cast<unsigned>(model.size()));
      Queue& q = model[chosen];
      ASSERT_EQ(pending.port_of(q.queue), q.port);
      if (below(5) < 3) {
        // Mostly in order; sometimes a number that is lower than some that wait.
        const std::uint64_t arrival =
            (std::uint64_t{step} << 8U) - (below(3) == 0 ? below(2000) << 8U : 0U) + below(256);
        if (!pending.has_room_for_packet(q.port, 1) || q.packets.contains(arrival)) continue;
        rte_mbuf* const mbuf = rte_pktmbuf_alloc(pool);
        pending.push(q.queue, {mbuf, arrival});
        q.packets[arrival] = mbuf;
      } else if (q.packets.empty()) {
        ASSERT_EQ(pending.pop(q.queue).mbuf, nullptr);
        pending.close(q.queue);
        model.erase(model.begin() + chosen);
      } else {
        const auto first = pending.pop(q.queue);
        ASSERT_EQ(first.arrival, q.packets.begin()->first);
        ASSERT_EQ(first.mbuf, q.packets.begin()->second);
        rte_pktmbuf_free(first.mbuf);
        q.packets.erase(q.packets.begin());
      }
    }
  }
  EXPECT_EQ(rte_mempool_avail_count(pool), before) << "what still waited was not freed";
}

TEST(Grace, passes_when_the_loop_that_the_token_was_taken_in_has_ended) {
  LoopCounter loop;
  EXPECT_TRUE(loop.passed(loop.token())) << "a PMD outside of its loop uses nothing";
  loop.enter();
  const auto token = loop.token();
  EXPECT_FALSE(loop.passed(token));
  loop.leave();
  EXPECT_TRUE(loop.passed(token));
  loop.enter();
  EXPECT_TRUE(loop.passed(token)) << "the next loop has loaded what is new";
}

TEST(Grace, nobody_reads_what_was_given_up) {
  LoopCounter loop;
  std::atomic<std::atomic<int>*> published{nullptr};
  std::array<std::atomic<int>, 2> values;
  values[0] = 1;
  values[1] = 0;
  published = &values[0];
  std::atomic<bool> stop{false};
  std::atomic<int> bad{0};
  std::thread reader([&] {
    while (!stop.load()) {
      loop.enter();
      auto* const seen = published.load(std::memory_order_seq_cst);
      for (int i = 0; i < 20; ++i) bad += seen->load(std::memory_order_relaxed) != 1;
      loop.leave();
    }
  });
  for (int i = 0; i < 20'000; ++i) {
    auto& old = *published.load();
    auto& next = &old == &values[0] ? values[1] : values[0];
    next.store(1);
    published.exchange(&next, std::memory_order_seq_cst);
    const auto token = loop.token();
    while (!loop.passed(token)) std::this_thread::yield();
    old.store(0, std::memory_order_relaxed);
  }
  stop = true;
  reader.join();
  EXPECT_EQ(bad, 0);
}

TEST(FdbExpiry, is_over_at_the_very_nanosecond_and_not_before) {
  control::Fdb fdb({.limit = 4, .ageing_ns = 300 * kSecond, .hash_secret = 1});
  const auto key = control::fdb_key(1, {{2, 0, 0, 0, 0, 1}});
  ASSERT_TRUE(fdb.learn(key, 1, 7));
  EXPECT_FALSE(fdb.expired(7 + 300 * kSecond - 1));
  ASSERT_TRUE(fdb.expired(7 + 300 * kSecond));
  EXPECT_EQ(fdb.expired(7 + 300 * kSecond)->seen_ns, 7U);
}

/// A port's masks, changed at will by a rule that comes and goes.
class Generations : public ::testing::Test {
 protected:
  Generations() : fdb_({}), pipeline_(ports_, rules_, fdb_, true) {
    ports_.set(0, {"p0", {}});
    rule_.mask.packet_class = 0;
    rule_.value.ethertype_be = 8;
    rule_.mask.ethertype_be = 0xffff;
    rule_.mask.nw_tos = 0xfc;
    book_.touch(0);
    static_cast<void>(book_.rebuild(pipeline_));
  }
  /// False if the change has to wait.
  bool change() {
    if ((on_ = !on_)) {
      rules_.add(rule_);
    } else {
      rules_.remove(rule_.priority, rule_.value, rule_.mask);
    }
    book_.touch(0);
    return book_.rebuild(pipeline_) != nullptr;
  }
  [[nodiscard]] std::uint16_t generation() const { return book_.mask(0, flowtable::PacketClass::ipv4_udp).generation; }

  control::PortTable ports_;
  control::RuleBook rules_;
  control::Fdb fdb_;
  control::Pipeline pipeline_;
  control::MaskBook book_;
  control::Rule rule_{};
  bool on_ = false;
};

TEST_F(Generations, are_not_used_again_before_all_flows_of_before_are_gone) {
  book_.all_clean();
  const auto first = generation();
  std::size_t changes = 0;
  while (change()) {
    ++changes;
    ASSERT_NE(generation(), first);
    ASSERT_LE(changes, 65'535U);
  }
  EXPECT_EQ(changes, 65'534U);
  book_.all_clean();
  EXPECT_NE(book_.rebuild(pipeline_), nullptr) << "what waited is made up for";
  while (generation() != first) ASSERT_TRUE(change()) << "and the number comes round";
}

TEST(FdbExpiry, counts_from_the_first_round_for_what_was_announced_before) {
  Joined joined({});
  joined.slow->set_port(0, "p0", {});
  ASSERT_TRUE(joined.slow->announce({{2, 0, 0, 0, 0, 1}}, 0));
  joined.settle();
  ASSERT_EQ(joined.slow->fdb_size(), 1U);
  EXPECT_EQ(joined.slow->fdb()[0].seen_ns, joined.now);
  joined.wait(299 * kSecond);
  EXPECT_EQ(joined.slow->fdb_size(), 1U);
  joined.wait(kSecond);
  EXPECT_EQ(joined.slow->fdb_size(), 0U);
}

TEST(Order, is_kept_when_masks_change_again_before_the_pmd_hears_what_was_decided) {
  Joined joined({});
  for (flowtable::PortId port = 0; port < 3; ++port) joined.plug(port);
  joined.settle();
  flowtable::FlowKey key{};
  key.packet_class = static_cast<std::uint8_t>(flowtable::PacketClass::ipv4_udp);
  key.dl_src = {{2, 0, 0, 0, 0, 1}};
  key.dl_dst = {{2, 0, 0, 0, 0, 2}};
  key.ethertype_be = 8;
  key.nw_proto = 17;
  const auto send = [&](std::uint8_t number) {
    Bytes frame = frame_of(key, 20);
    frame.back() = number;
    ASSERT_TRUE(joined.ends[0]->send(frame));
    joined.pmd->run_once(joined.now);
  };
  const auto add_rule = [&](const char* rule) {
    joined.slow->add_rule(*control::parse_rule(rule, joined.slow->port_names()));
  };
  send(0);
  add_rule("udp,tp_src=1,actions=drop");
  joined.step_slow(0);  // publishes the masks alone
  send(1);
  joined.step_slow(SIZE_MAX);  // answers both: look the first up again, install the second's
  add_rule("udp,tp_dst=1,actions=drop");
  joined.step_slow(0);
  send(2);
  joined.settle();
  const auto out = joined.ends[2]->take();
  ASSERT_EQ(out.size(), 3U);
  for (std::uint8_t i = 0; i < 3; ++i) EXPECT_EQ(out[i].back(), i);
}

TEST(SlowPathThread, runs_tasks_in_order_between_rounds_and_all_of_them_before_it_ends) {
  Joined joined({});
  joined.slow.reset();
  std::vector<int> order;
  std::atomic<std::uint64_t> clock{1};
  std::thread::id one{};
  datapath::Doorbell doorbell;
  {
    control::SlowPathThread thread(
        std::make_unique<control::SlowPath>(control::SlowPathOptions{}, std::vector{control::link_to(*joined.pmd)}),
        [&] { return clock.fetch_add(1000); }, doorbell);
    for (int i = 0; i < 1000; ++i) {
      thread.post([&, i](control::SlowPath& slow) {
        if (i == 0) one = std::this_thread::get_id();
        if (i == 10) slow.set_port(0, "p0", {});
        if (i == 20) {
          ASSERT_TRUE(slow.announce({{2, 0, 0, 0, 0, 1}}, 0)) << "the tasks before it have not run";
        }
        order.push_back(i);
      });
    }
  }
  ASSERT_EQ(order.size(), 1000U);
  EXPECT_TRUE(std::ranges::is_sorted(order));
  EXPECT_NE(one, std::thread::id{});
}

}  // namespace
}  // namespace sluice::test
