// What a switch does at its start with what it cannot have. A process can start one switch, so each test is one.
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "control/keeper/keeper_link.hpp"
#include "control/slowpath/fdb_store.hpp"
#include "control/slowpath/flow_list.hpp"
#include "control/switch.hpp"
#include "control/switch/run_time_changes.hpp"
#include "datapath/clock.hpp"
#include "tests/unit/config/read_config.hpp"
#include "tests/unit/temporary_directory.hpp"

namespace sluice::control {
namespace {

using flowtable::PortId;
using namespace std::chrono_literals;

constexpr auto kPatience = 30s;

/// A worker without a keeper.
struct Started {
  explicit Started(std::string_view text, bool has_to_go_on = false)
      : link({}, *SharedMemory::map(SharedMemory::create()->get()), 0, has_to_go_on),
        config(good(text)),
        prepared(Switch::prepare(config, loop, link)) {}

  [[nodiscard]] Switch& whole() { return **prepared; }
  /// It works from now on.
  [[nodiscard]] bool begins() { return whole().take_up() && whole().open_devices(false); }
  /// Until `done`, or for so long that it never will be.
  template <typename Done>
  [[nodiscard]] bool eventually(Done done) {
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (!done() && std::chrono::steady_clock::now() < deadline) loop.run_once(10ms);
    return done();
  }

  ports::EventLoop loop;
  KeeperLink link;
  Config config;
  Expected<std::unique_ptr<Switch>> prepared;
};

/// `test` in a child, which ends well if it has not failed.
template <typename Test>
void in_its_own_process(Test test) {
  EXPECT_EXIT(
      {
        test();
        std::_Exit(::testing::Test::HasFailure() ? 1 : 0);
      },
      ::testing::ExitedWithCode(0), "");
}

constexpr std::string_view kNoSuchCore = "{pmd: {cores: [1000], idle: sleep up to 1 ms}, ports: []}";

TEST(Start, refuses_a_core_that_is_not_there) {
  in_its_own_process([] {
    const Started worker(kNoSuchCore);
    ASSERT_FALSE(worker.prepared);
    EXPECT_NE(worker.prepared.error().message.find("core 1000 cannot be used"), std::string::npos);
  });
}

TEST(Start, goes_on_without_a_core_that_is_gone_if_it_has_to) {
  in_its_own_process([] {
    Started worker(kNoSuchCore, true);
    ASSERT_TRUE(worker.prepared) << worker.prepared.error().message;
    EXPECT_TRUE(worker.begins());
    EXPECT_EQ(worker.whole().pmds().at(0).core, 1000U);
  });
}

std::string server_at(const std::string& path) {
  return "{pmd: {cores: [0], idle: sleep up to 1 ms}, ports: [{name: vm, type: vhost-user, mode: server, path: " +
         path + "}]}";
}

TEST(Start, refuses_a_port_that_cannot_listen) {
  in_its_own_process([] {
    const TemporaryDirectory place;
    const Started worker(server_at(place / "none/vm.sock"));
    ASSERT_FALSE(worker.prepared);
    EXPECT_NE(worker.prepared.error().message.find("cannot make the socket"), std::string::npos);
  });
}

TEST(Start, goes_on_without_a_port_that_cannot_listen_if_it_has_to_and_looks_for_it) {
  in_its_own_process([] {
    const TemporaryDirectory place;
    Started worker(server_at(place / "none/vm.sock"), true);
    ASSERT_TRUE(worker.prepared) << worker.prepared.error().message;
    ASSERT_TRUE(worker.begins());
    const auto state = [&] { return worker.whole().ports().at(0).status.state; };
    EXPECT_EQ(state(), "missing");
    worker.whole().close_devices();
    worker.whole().park();
    worker.whole().unpark();
    EXPECT_EQ(state(), "missing");
    std::filesystem::create_directory(place / "none");
    EXPECT_TRUE(worker.eventually([&] { return state() != "missing"; }));
    EXPECT_TRUE(std::filesystem::is_socket(place / "none/vm.sock"));
  });
}

TEST(Start, lets_the_worker_before_it_go_on_if_it_cannot_follow_what_was_changed_meanwhile) {
  in_its_own_process([] {
    const TemporaryDirectory place;
    Started worker(server_at(place / "vm.sock"));
    ASSERT_TRUE(worker.prepared) << worker.prepared.error().message;
    for (PortLabel& label : worker.link.shared().labels) label.in_use = PortLabel::kLeaving;  // no room for its port
    const auto taken = worker.whole().take_up();
    ASSERT_FALSE(taken);
    EXPECT_NE(taken.error().message.find("there is no room for it"), std::string::npos) << taken.error().message;
    EXPECT_EQ(worker.link.shared().takeovers, 0U);
  });
}

/// From the first port to the second, of addresses that the worker before has learnt there.
ports::UniqueFd one_flow(FdbMemory& fdb) {
  FdbStore before(fdb, {datapath::tsc_at, datapath::ns_at});
  for (PortId port = 0; port < 2; ++port) {
    EXPECT_EQ(before.add(FdbKey{0x020000000001U + port}, port, datapath::now_ns()), port);
  }
  flowtable::FlowKey key{};
  key.packet_class = static_cast<std::uint8_t>(flowtable::PacketClass::other);
  key.dl_src = {{2, 0, 0, 0, 0, 1}};
  key.dl_dst = {{2, 0, 0, 0, 0, 2}};
  key.mask_generation = 7;
  flowtable::FlowKey all;
  std::memset(&all, 0xff, sizeof all);
  auto list = FlowListWriter::create();
  list->add_flow({0, key, 0});
  list->add_mask(0, flowtable::PacketClass::other, {all, 7});
  return list->finish();
}

constexpr std::string_view kTwoPorts =
    "{pmd: {cores: [0], idle: sleep up to 1 ms}, ports: [{name: a, type: 'null', no_rx: true}, {name: b, type: 'null', "
    "no_rx: true}]}";

std::vector<std::string> flows_of(Started& worker) {
  std::optional<std::vector<std::string>> actions;
  worker.whole().flows(10, [&](const auto& found) {
    actions.emplace();
    for (const FlowReport& flow : found.first) actions->push_back(flow.actions);
  });
  EXPECT_TRUE(worker.eventually([&] { return actions.has_value(); }));
  return actions.value_or(std::vector<std::string>());
}

TEST(Start, has_the_flows_of_the_worker_before_it) {
  in_its_own_process([] {
    Started worker(kTwoPorts);
    ASSERT_TRUE(worker.prepared) << worker.prepared.error().message;
    ASSERT_TRUE(worker.whole().adopt_flows(one_flow(worker.link.shared().fdb)));
    ASSERT_TRUE(worker.begins());
    EXPECT_EQ(flows_of(worker), std::vector<std::string>{"output:b"});
  });
}

TEST(Start, has_them_decided_by_what_was_changed_while_it_made_itself_ready) {
  in_its_own_process([] {
    Started worker(kTwoPorts);
    ASSERT_TRUE(worker.prepared) << worker.prepared.error().message;
    RunTimeChanges meanwhile(worker.link.shared().changes);
    ASSERT_TRUE(meanwhile.note(Change::Kind::rule, "priority=5,in_port=a", {}, "priority=5,in_port=a,actions=drop"));
    ASSERT_TRUE(worker.whole().adopt_flows(one_flow(worker.link.shared().fdb)));
    ASSERT_TRUE(worker.begins());
    EXPECT_EQ(flows_of(worker), std::vector<std::string>{"drop (rule)"});
  });
}

TEST(Start, has_no_flow_that_was_decided_by_what_has_been_changed_since) {
  in_its_own_process([] {
    Started worker(kTwoPorts);
    ASSERT_TRUE(worker.prepared) << worker.prepared.error().message;
    ASSERT_TRUE(worker.whole().adopt_flows(one_flow(worker.link.shared().fdb)));
    RunTimeChanges meanwhile(worker.link.shared().changes);
    ASSERT_TRUE(meanwhile.note(Change::Kind::rule, "priority=5,in_port=a", {}, "priority=5,in_port=a,actions=drop"));
    ASSERT_TRUE(worker.begins());
    EXPECT_EQ(flows_of(worker), std::vector<std::string>{});
    EXPECT_EQ(worker.whole().pmds().at(0).flows, 0U);
  });
}

TEST(Start, refuses_if_it_cannot_have_what_was_changed_while_it_made_itself_ready) {
  in_its_own_process([] {
    const TemporaryDirectory place;
    std::filesystem::create_directory(place / "gone");
    Started worker(server_at(place / "gone/vm.sock"));
    ASSERT_TRUE(worker.prepared) << worker.prepared.error().message;
    PortLabel& label = worker.link.shared().labels[0];  // its place is another's by now
    std::strcpy(label.name.data(), "other");
    label.in_use = PortLabel::kNamed;
    std::filesystem::remove_all(place / "gone");
    const auto adopted = worker.whole().adopt_flows(one_flow(worker.link.shared().fdb));
    ASSERT_FALSE(adopted);
    EXPECT_NE(adopted.error().message.find("cannot make the socket"), std::string::npos) << adopted.error().message;
    EXPECT_FALSE(worker.whole().take_up()) << "nor if it is told to all the same";
    EXPECT_EQ(worker.link.shared().takeovers, 0U);
  });
}

TEST(Start, has_a_port_that_was_added_a_moment_before_its_socket_could_be_had) {
  in_its_own_process([] {
    const TemporaryDirectory place;
    Started worker(kTwoPorts);
    ASSERT_TRUE(worker.prepared) << worker.prepared.error().message;
    RunTimeChanges meanwhile(worker.link.shared().changes);
    ASSERT_TRUE(meanwhile.note(Change::Kind::port, "vm", {},
                               "name=vm type=vhost-user mode=server path=" + (place / "none/vm.sock")));
    ASSERT_TRUE(worker.whole().adopt_flows(one_flow(worker.link.shared().fdb)));
    std::filesystem::create_directory(place / "none");
    ASSERT_TRUE(worker.begins());
    EXPECT_EQ(worker.whole().ports().size(), 3U);
    EXPECT_TRUE(std::filesystem::is_socket(place / "none/vm.sock"));
    EXPECT_EQ(flows_of(worker), std::vector<std::string>{"output:b"}) << "and no flow has been forgotten for it";
  });
}

TEST(Start, goes_on_without_flows_if_their_list_is_none) {
  in_its_own_process([] {
    Started worker(kTwoPorts);
    ASSERT_TRUE(worker.prepared) << worker.prepared.error().message;
    ASSERT_TRUE(worker.whole().adopt_flows({}));
    ASSERT_TRUE(worker.begins());
    EXPECT_EQ(flows_of(worker), std::vector<std::string>{});
  });
}

TEST(Start, leaves_what_is_shared_with_other_workers_as_it_is_while_it_is_parked) {
  in_its_own_process([] {
    const TemporaryDirectory place;
    Started worker(server_at(place / "vm.sock"));
    ASSERT_TRUE(worker.prepared) << worker.prepared.error().message;
    FdbMemory& fdb = worker.link.shared().fdb;
    FdbStore before(fdb, {datapath::tsc_at, datapath::ns_at});
    ASSERT_EQ(before.add(FdbKey{0x020000000001U}, 0, datapath::now_ns()), 0U);
    ASSERT_TRUE(worker.begins());
    std::optional<std::size_t> known, flushed;
    worker.whole().fdb([&](const auto& entries) { known = entries.size(); });
    ASSERT_TRUE(worker.eventually([&] { return known.has_value(); }));
    ASSERT_EQ(known, 1U);

    worker.whole().close_devices();
    worker.whole().park();
    worker.whole().flush_fdb("", [&](const auto& count) { flushed = count.value(); });
    std::this_thread::sleep_for(100ms);  // it would have been done long before
    EXPECT_NE(fdb.records[0].address, 0U);
    worker.whole().unpark();
    EXPECT_TRUE(worker.eventually([&] { return flushed.has_value(); }));
    EXPECT_EQ(flushed, 1U);
    EXPECT_EQ(fdb.records[0].address, 0U);
    worker.whole().close_devices();
    worker.whole().park();  // and ends so
  });
}

}  // namespace
}  // namespace sluice::control
