// How many frames a sender of vmgen may have on their way.
#include "perf/vmgen/window.hpp"

#include <gtest/gtest.h>

#include <limits>

namespace sluice::test {
namespace {

using vmgen::Window;

TEST(Window, what_has_come_makes_room) {
  Window window(16, 1000);
  window.begin(5);
  EXPECT_EQ(window.room(0, 0, 5), 16U);
  EXPECT_EQ(window.room(16, 0, 6), 0U);
  EXPECT_EQ(window.room(16, 3, 7), 3U);
  EXPECT_EQ(window.room(19, 19, 8), 16U);
  EXPECT_EQ(window.room(40, 20, 9), 0U) << "more than there was room for";
}

TEST(Window, what_was_lost_makes_room_when_nothing_has_come_for_long) {
  Window window(16, 1000);
  window.begin(0);
  EXPECT_EQ(window.room(16, 6, 10), 6U);
  EXPECT_EQ(window.room(22, 6, 1010), 0U);
  EXPECT_EQ(window.room(22, 6, 1011), 16U);
  EXPECT_EQ(window.room(38, 6, 1500), 0U);
  EXPECT_EQ(window.room(38, 10, 1600), 4U) << "of those sent last";
  EXPECT_EQ(window.room(42, 26, 2000), 16U) << "those that had been given up have come after all";
  window.begin(3000);
  EXPECT_EQ(window.room(0, 0, 3000), 16U);
}

TEST(Window, time_in_which_nothing_was_on_its_way_does_not_count) {
  Window window(16, 1000);
  window.begin(0);
  EXPECT_EQ(window.room(0, 0, 5000), 16U);
  EXPECT_EQ(window.room(16, 0, 5001), 0U);
  EXPECT_EQ(window.room(16, 0, 5999), 0U);
}

TEST(Window, of_none_there_is_room_for_all) {
  Window window(0, 1000);
  EXPECT_EQ(window.room(1'000'000, 0, 5), std::numeric_limits<std::uint32_t>::max());
}

}  // namespace
}  // namespace sluice::test
