// EventLoop: order, and who is called no more.
#include "ports/event_loop.hpp"

#include <gtest/gtest.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <thread>
#include <vector>

#include "ports/unique_fd.hpp"

namespace sluice::test {
namespace {

using namespace std::chrono_literals;
using ports::EventLoop;
using ports::UniqueFd;

UniqueFd readable() { return UniqueFd(::eventfd(1, EFD_CLOEXEC)); }

TEST(EventLoop, calls_nobody_who_was_unwatched_in_the_same_round) {
  EventLoop loop;
  const UniqueFd a = readable();
  const UniqueFd b = readable();
  int calls = 0;
  const auto take_both_out = [&](std::uint32_t) {
    ++calls;
    loop.unwatch(a.get());
    loop.unwatch(b.get());
  };
  loop.watch(a.get(), EPOLLIN, take_both_out);
  loop.watch(b.get(), EPOLLIN, take_both_out);
  loop.run_once(10ms);
  loop.run_once(0ms);
  EXPECT_EQ(calls, 1);
}

TEST(EventLoop, gives_no_event_of_an_fd_to_the_next_with_its_number) {
  EventLoop loop;
  UniqueFd a = readable();
  UniqueFd b = readable();
  int wrong = 0;
  const auto replace = [&](UniqueFd& other) {
    loop.unwatch(other.get());
    const int number = other.get();
    other.reset();
    UniqueFd silent(::eventfd(0, EFD_CLOEXEC));
    EXPECT_EQ(silent.get(), number);
    other = std::move(silent);
    loop.watch(number, EPOLLIN, [&](std::uint32_t) { ++wrong; });
  };
  bool done = false;
  loop.watch(a.get(), EPOLLIN, [&](std::uint32_t) {
    if (!done) replace(b);
    done = true;
  });
  loop.watch(b.get(), EPOLLIN, [&](std::uint32_t) {
    if (!done) replace(a);
    done = true;
  });
  loop.run_once(10ms);
  EXPECT_TRUE(done);
  EXPECT_EQ(wrong, 0);
}

TEST(EventLoop, runs_timers_in_their_order_and_none_that_was_cancelled) {
  EventLoop loop;
  std::vector<int> order;
  EventLoop::TimerId doomed = 0;
  loop.after(4ms, [&] { order.push_back(4); });
  loop.after(2ms, [&] {
    order.push_back(2);
    loop.cancel(doomed);
  });
  doomed = loop.after(3ms, [&] { order.push_back(3); });
  EventLoop::TimerId every = 0;
  int ticks = 0;
  every = loop.every(1ms, [&] {
    if (++ticks == 3) loop.cancel(every);
  });
  while (order.size() < 2 || ticks < 3) loop.run_once(20ms);
  for (int i = 0; i < 5; ++i) loop.run_once(2ms);
  EXPECT_EQ(order, (std::vector<int>{2, 4}));
  EXPECT_EQ(ticks, 3);
}

TEST(EventLoop, runs_what_other_threads_post_and_stops_when_told_by_one) {
  EventLoop loop;
  int sum = 0;
  std::thread other([&] {
    for (int i = 1; i <= 1000; ++i) loop.post([&sum, i] { sum += i; });
    loop.post([&] { loop.stop(); });
  });
  loop.run();
  other.join();
  EXPECT_EQ(sum, 500500);
}

TEST(EventLoop, lets_a_callback_unwatch_itself) {
  EventLoop loop;
  const UniqueFd a = readable();
  int calls = 0;
  auto owned = std::make_shared<int>(7);
  loop.watch(a.get(), EPOLLIN, [&loop, &a, &calls, owned](std::uint32_t) {
    loop.unwatch(a.get());
    calls += *owned;  // what the callback holds is still there
  });
  owned.reset();
  loop.run_once(10ms);
  loop.run_once(0ms);
  EXPECT_EQ(calls, 7);
}

}  // namespace
}  // namespace sluice::test
