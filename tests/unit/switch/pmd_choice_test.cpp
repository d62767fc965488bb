// Which PMD polls a queue, on machines of any shape.
#include "control/switch/pmd_choice.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace sluice::test {
namespace {

using control::choose_pmd;
using control::PmdLoad;

TEST(PmdChoice, is_the_least_loaded_one_of_the_guests_node) {
  const std::vector<PmdLoad> pmds{{0, 0}, {1, 2}, {1, 1}, {0, 0}};
  EXPECT_EQ(choose_pmd(pmds, 1), 2U);
  EXPECT_EQ(choose_pmd(pmds, 0), 0U);
}

TEST(PmdChoice, is_one_elsewhere_when_the_guests_node_has_more_than_its_share) {
  EXPECT_EQ(choose_pmd(std::vector<PmdLoad>{{0, 4}, {1, 5}}, 1), 1U);
  EXPECT_EQ(choose_pmd(std::vector<PmdLoad>{{0, 4}, {1, 6}}, 1), 0U);
}

TEST(PmdChoice, is_the_least_loaded_one_of_all_if_the_node_is_unknown_or_has_none) {
  const std::vector<PmdLoad> pmds{{0, 3}, {1, 2}, {1, 2}};
  EXPECT_EQ(choose_pmd(pmds, -1), 1U);
  EXPECT_EQ(choose_pmd(pmds, 2), 1U);
}

TEST(PmdChoice, spreads_the_queues_of_one_nodes_guests_over_all_pmds_in_the_end) {
  std::vector<PmdLoad> pmds{{0, 0}, {0, 0}, {1, 0}, {1, 0}};
  for (int i = 0; i < 100; ++i) ++pmds[choose_pmd(pmds, 1)].queues;
  EXPECT_EQ(pmds[2].queues, 26U);
  EXPECT_EQ(pmds[3].queues, 26U);
  EXPECT_EQ(pmds[0].queues + pmds[1].queues, 48U);
}

}  // namespace
}  // namespace sluice::test
