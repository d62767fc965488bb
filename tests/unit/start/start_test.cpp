// A whole switch, from its start. A process can start one, so each test is one.
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "control/keeper/keeper_link.hpp"
#include "control/slowpath/fdb_store.hpp"
#include "control/switch.hpp"
#include "datapath/clock.hpp"
#include "tests/unit/config/read_config.hpp"
#include "tests/unit/temporary_directory.hpp"

namespace sluice::control {
namespace {

using namespace std::chrono_literals;

constexpr auto kPatience = 30s;

/// A worker without a keeper.
struct Started {
  explicit Started(std::string_view text)
      : link({}, *SharedMemory::map(SharedMemory::create()->get()), 0),
        config(good(text)),
        prepared(Switch::prepare(config, loop, link)) {}

  [[nodiscard]] Switch& whole() { return **prepared; }
  /// It works from now on.
  [[nodiscard]] bool begins() {
    link.take_over();
    return whole().take_up() && whole().open_devices(false);
  }
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

std::string server_at(const std::string& path) {
  return "{pmd: {cores: [0], idle: sleep up to 1 ms}, ports: [{name: vm, type: vhost-user, mode: server, path: " +
         path + "}]}";
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
