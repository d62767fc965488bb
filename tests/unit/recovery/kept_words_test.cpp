// What a worker notes in memory that outlives it, at whatever instant it is killed: lists of changes, cleared counters,
// ports' slots.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <set>
#include <string>
#include <vector>

#include "control/keeper/change_log.hpp"
#include "control/keeper/port_slots.hpp"
#include "control/switch/port_tallies.hpp"
#include "tests/unit/recovery/every_store.hpp"

namespace sluice::test {
namespace {

using control::ChangeLog;
using control::ChangeLogMemory;
using control::PortLabel;
using control::PortSlots;
using control::PortTallies;
using control::PortTotals;
using control::SharedMemory;
using flowtable::PortId;
using Texts = std::vector<std::string>;

TEST(ChangeLogTest, a_kill_leaves_the_list_of_before_or_that_of_after) {
  Shared<ChangeLogMemory> memory;
  constexpr unsigned kSteps = 40;
  const auto change = [](auto&& append, auto&& replace, unsigned i) {
    if (i % 7 == 6) {
      replace(Texts{"all in " + std::to_string(i), std::string(i, 'x')});
    } else {
      append("text " + std::string(i % 5, '.') + std::to_string(i));
    }
  };
  std::vector<Texts> lists{{}};
  for (unsigned i = 0; i < kSteps; ++i) {
    Texts next = lists.back();
    change([&](const std::string& text) { next.push_back(text); }, [&](const Texts& all) { next = all; }, i);
    lists.push_back(next);
  }
  ChangeLog log(*memory);
  constexpr std::size_t kLooked = 2048;
  const auto stores = at_every_store(
      {bytes_of(memory->version), bytes_of(memory->buffers[0], kLooked), bytes_of(memory->buffers[1], kLooked)}, kSteps,
      [&](unsigned i) {
        change([&](const std::string& text) { return log.append(text); },
               [&](const Texts& all) { return log.replace(all); }, i);
      },
      [&](unsigned i) {
        EXPECT_THAT(ChangeLog(*memory).read(), ::testing::AnyOf(lists[i], lists[i + 1])) << "in step " << i;
      });
  EXPECT_GT(stores, kSteps);
  EXPECT_EQ(log.read(), lists.back());
}

TEST(ChangeLogTest, a_list_that_is_read_while_others_replace_it_is_one_that_was) {
  Shared<ChangeLogMemory> memory;
  const std::vector<Texts> lists{Texts(3000, std::string(41, 'a')), Texts(1500, std::string(83, 'b')),
                                 Texts(800, std::string(150, 'c'))};
  ChangeLog log(*memory);
  ASSERT_TRUE(log.replace(lists[0]));
  const pid_t test = ::getpid();
  const pid_t writer = ::fork();  // no thread: to read what is written is no error here
  if (writer == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // also if the test does not come to its end
    for (std::size_t i = 1; ::getppid() == test; ++i) {
      static_cast<void>(log.replace(lists[i % lists.size()]));
      if (i % 8 == 0) ::usleep(2000);  // who reads has to come to an end too
    }
    ::_exit(0);
  }
  const auto begun = log.mark();
  for (unsigned i = 0; i < 500; ++i) {
    const Texts now = log.read();
    EXPECT_TRUE(std::ranges::find(lists, now) != lists.end()) << now.size() << " texts";
  }
  EXPECT_NE(log.mark(), begun);
  ::kill(writer, SIGKILL);
  ::waitpid(writer, nullptr, 0);
}

TEST(ChangeLogTest, what_there_is_no_room_for_changes_nothing) {
  Shared<ChangeLogMemory> memory;
  ChangeLog log(*memory);
  const std::string large(ChangeLogMemory::kBytes / 3, 'x');
  EXPECT_TRUE(log.append(large));
  EXPECT_TRUE(log.append(large));
  const auto mark = log.mark();
  EXPECT_FALSE(log.append(large));
  EXPECT_FALSE(log.replace(Texts(3, large)));
  EXPECT_EQ(log.mark(), mark);
  EXPECT_EQ(log.read(), Texts(2, large));
  EXPECT_TRUE(log.append("small"));
  EXPECT_NE(log.mark(), mark);
}

TEST(PortTalliesTest, a_kill_leaves_the_counters_of_all_ports_cleared_or_of_none) {
  Shared<PortTallies> tallies;
  constexpr unsigned kClears = 3;
  const std::vector<PortId> ports{0, 1, 7};
  tallies->use_rows(2);
  const auto count = [&](PortId port) {
    for (unsigned row = 0; row < 2; ++row) {
      tallies->counters(row, port).rx_packets.add(port + 1U);
      tallies->counters(row, port).drop(ports::DropReason::rule, 2);
    }
  };
  for (const PortId port : ports) count(port);
  PortTallies& t = *tallies;
  const auto stores = at_every_store(
      {bytes_of(*tallies, 2 * sizeof(std::uint32_t) + 2 * flowtable::kMaxPorts * sizeof(PortTotals))}, kClears,
      [&](unsigned) {
        t.clear(ports);
        for (const PortId port : ports) count(port);
      },
      [&](unsigned) {
        std::set<bool> cleared;
        for (const PortId port : ports) {
          const PortTotals now = t.since_cleared(port);
          const std::uint64_t once = 2 * (port + 1U);
          EXPECT_EQ(now.rx_packets % once, 0U);
          EXPECT_LE(now.rx_packets, 2 * once) << "port " << port;
          cleared.insert(now.rx_packets <= once && now.drops[static_cast<std::size_t>(ports::DropReason::rule)] <= 4);
        }
        EXPECT_EQ(cleared.size(), 1U) << "some are cleared and some are not";
      });
  EXPECT_GT(stores, kClears);
}

TEST(PortTalliesTest, what_workers_with_more_pmds_have_counted_stays_counted) {
  Shared<PortTallies> tallies;
  tallies->use_rows(3);
  for (unsigned row = 0; row < 3; ++row) tallies->counters(row, 1).tx_packets.add(1);
  tallies->use_rows(1);
  tallies->counters(0, 1).tx_packets.add(1);
  EXPECT_EQ(tallies->counted(1).tx_packets, 4U);
  tallies->forget(1);
  EXPECT_EQ(tallies->counted(1), PortTotals());
}

TEST(PortSlotsTest, a_kill_leaves_a_slot_a_ports_or_to_be_tidied_up_or_as_new) {
  const auto memory = control::SharedMemory::create();
  auto shared = std::move(*SharedMemory::map(memory->get()));
  PortSlots slots(shared);
  const control::PortIdentity port{"vm1", "", false};
  auto& counted = shared->tallies.counters(0, 0).rx_packets;
  shared->tallies.use_rows(1);
  const auto stores = at_every_store(
      {bytes_of(shared->labels[0]), bytes_of(counted)}, 4,
      [&](unsigned i) {
        switch (i) {
          case 0: return slots.settle(0, "vm1");
          case 1: return counted.add(5);
          case 2: return slots.retire(0);
          default: return slots.release(0);
        }
      },
      [&](unsigned) {
        auto next_shared = std::move(*SharedMemory::map(memory->get()));
        const PortSlots next(next_shared);
        const auto in_use = next_shared->labels[0].in_use.load();
        const bool found = next.find(std::vector{port})->front() == 0;
        EXPECT_TRUE(in_use != PortLabel::kNamed || found);
        EXPECT_FALSE(in_use == PortLabel::kLeaving && found) << "not everything of it has gone yet";
        EXPECT_TRUE(in_use != PortLabel::kFree || counted.get() == 0) << "another port would have it";
        EXPECT_EQ(next.unclaimed().empty(), in_use == PortLabel::kFree);
      });
  EXPECT_GT(stores, 4U);
}

}  // namespace
}  // namespace sluice::test
