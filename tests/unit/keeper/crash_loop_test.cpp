// When the next worker is started, after one that has died.
#include "control/keeper/crash_loop.hpp"

#include <gtest/gtest.h>

namespace sluice::control {
namespace {

using namespace std::chrono_literals;

class CrashLoopTest : public ::testing::Test {
 protected:
  std::chrono::milliseconds crash_after(CrashLoop::Clock::duration lived) {
    now_ += lived;
    return loop_.crashed(now_, lived);
  }
  CrashLoop loop_;
  CrashLoop::Clock::time_point now_{};
};

TEST_F(CrashLoopTest, five_crashes_within_ten_seconds_are_followed_at_once) {
  for (int i = 0; i < 5; ++i) EXPECT_EQ(crash_after(1s), 0ms);
  EXPECT_EQ(crash_after(1s), 100ms);
}

TEST_F(CrashLoopTest, the_wait_doubles_to_five_seconds_and_no_further) {
  for (int i = 0; i < 5; ++i) (void)crash_after(0s);
  for (const auto wait : {100ms, 200ms, 400ms, 800ms, 1600ms, 3200ms, 5000ms, 5000ms}) EXPECT_EQ(crash_after(0s), wait);
  EXPECT_EQ(crash_after(9s), 5000ms);
}

TEST_F(CrashLoopTest, a_worker_that_has_lived_for_ten_seconds_makes_up_for_all_before) {
  for (int i = 0; i < 8; ++i) (void)crash_after(0s);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(crash_after(i == 0 ? 10s : 0s), 0ms);
  EXPECT_EQ(crash_after(0s), 100ms);
}

TEST_F(CrashLoopTest, crashes_that_are_far_apart_are_never_waited_for) {
  for (int i = 0; i < 100; ++i) EXPECT_EQ(crash_after(2500ms), 0ms) << i;
}

}  // namespace
}  // namespace sluice::control
