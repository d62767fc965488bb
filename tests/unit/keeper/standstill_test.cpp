// What counts as a thread that has stopped.
#include "control/keeper/standstill.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <vector>

namespace sluice::control {
namespace {

class StandstillTest : public ::testing::Test {
 protected:
  using Found = std::optional<Standstill::Found>;

  Found look_at_pmd(std::uint64_t loop, bool control = true) {
    heartbeat_->pmds[0].loop.reset();
    for (std::uint64_t i = 0; i < loop; ++i) heartbeat_->pmds[0].loop.enter();  // or leave: each counts one
    return standstill_.look(*heartbeat_, control);
  }
  /// A look when PMD 0 has come as far as that, and the control thread counts.
  Found look(std::uint64_t loop) {
    heartbeat_->control.fetch_add(1);
    return look_at_pmd(loop);
  }
  void SetUp() override {
    heartbeat_->control_thread = 11;
    heartbeat_->pmds[0].thread = 12;
  }
  std::unique_ptr<Heartbeat> heartbeat_ = std::make_unique<Heartbeat>();
  Standstill standstill_{4};
};

TEST_F(StandstillTest, threads_that_move_are_never_found) {
  for (std::uint64_t i = 0; i < 100; ++i) EXPECT_FALSE(look(2 * i + 1));
}

TEST_F(StandstillTest, a_pmd_that_stays_inside_of_a_loop_is_found_after_as_many_looks_as_were_asked_for) {
  for (int i = 0; i < 4; ++i) EXPECT_FALSE(look(7)) << i;
  const auto found = look(7);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->thread, "PMD 0");
  EXPECT_EQ(found->kernel_id, 12);
  EXPECT_EQ(found->looks, 4U);
}

TEST_F(StandstillTest, a_pmd_that_sleeps_between_loops_is_given_the_time_of_its_longest_sleep_more) {
  heartbeat_->hang_timeout_ms = 500;  // four looks
  heartbeat_->idle_sleep_ms = 1000;
  for (int i = 0; i < 4 + 8; ++i) EXPECT_FALSE(look(8)) << i;
  const auto found = look(8);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->looks, 4U + 8U);
}

TEST_F(StandstillTest, a_sleep_that_is_shorter_than_the_time_between_two_looks_is_one_look) {
  heartbeat_->hang_timeout_ms = 500;
  heartbeat_->idle_sleep_ms = 1;
  for (int i = 0; i < 4 + 1; ++i) EXPECT_FALSE(look(8)) << i;
  EXPECT_TRUE(look(8));
}

TEST_F(StandstillTest, a_pmd_that_never_sleeps_is_given_no_more_time_between_loops_than_inside_of_one) {
  heartbeat_->hang_timeout_ms = 500;
  for (int i = 0; i < 4; ++i) EXPECT_FALSE(look(8)) << i;
  EXPECT_TRUE(look(8));
}

TEST_F(StandstillTest, where_looks_are_so_far_apart_a_sleep_is_as_many_of_them_as_it_is_long) {
  using std::chrono::milliseconds;
  heartbeat_->hang_timeout_ms = 1000;
  heartbeat_->idle_sleep_ms = 1000;
  standstill_ = Standstill(1, milliseconds(100));
  for (int i = 0; i < 1 + 10; ++i) EXPECT_FALSE(look(8)) << i;
  const auto found = look(8);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->looks, 1U + 10U);
  standstill_.reset();
  EXPECT_FALSE(look(7));
  EXPECT_TRUE(look(7)) << "inside of a loop it is not asleep";
}

TEST_F(StandstillTest, a_pmd_that_sleeps_again_and_again_is_not_found) {
  heartbeat_->hang_timeout_ms = 500;
  heartbeat_->idle_sleep_ms = 1000;
  for (std::uint64_t i = 0; i < 100; ++i) EXPECT_FALSE(look(2 * i));
}

TEST_F(StandstillTest, a_control_thread_that_does_not_count_is_found) {
  (void)look(1);
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(standstill_.look(*heartbeat_, true)) << i;
  const auto found = standstill_.look(*heartbeat_, true);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->thread, "the control thread");
  EXPECT_EQ(found->kernel_id, 11);
}

TEST_F(StandstillTest, a_control_thread_that_does_what_takes_long_is_given_time) {
  (void)look(8);
  heartbeat_->long_work = 1;
  for (int i = 0; i < 60 * 4 - 1; ++i) ASSERT_FALSE(standstill_.look(*heartbeat_, true)) << i;
  const auto found = standstill_.look(*heartbeat_, true);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->looks, 60U * 4);
}

TEST_F(StandstillTest, a_pmd_that_stands_is_found_also_while_the_control_thread_does_what_takes_long) {
  (void)look(7);
  heartbeat_->long_work = 1;
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(look_at_pmd(7)) << i;
  const auto found = look_at_pmd(7);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->thread, "PMD 0");
}

TEST_F(StandstillTest, before_the_control_thread_counts_pmds_alone_are_looked_at) {
  for (std::uint64_t i = 0; i < 100; ++i) EXPECT_FALSE(look_at_pmd(2 * i + 1, false));
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(look_at_pmd(199, false)) << i;
  const auto found = look_at_pmd(199, false);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->thread, "PMD 0");
}

TEST_F(StandstillTest, a_pmd_is_held_up_that_was_in_one_loop_at_two_looks) {
  (void)look(7);
  EXPECT_TRUE(standstill_.held_up(*heartbeat_).empty());
  (void)look(7);
  EXPECT_EQ(standstill_.held_up(*heartbeat_), std::vector<int>{12});
  (void)look(8);
  (void)look(8);
  EXPECT_TRUE(standstill_.held_up(*heartbeat_).empty()) << "it sleeps";
}

TEST_F(StandstillTest, another_worker_begins_anew) {
  for (int i = 0; i < 4; ++i) (void)look(7);
  standstill_.reset();
  for (int i = 0; i < 4; ++i) EXPECT_FALSE(look(7)) << i;
}

}  // namespace
}  // namespace sluice::control
