// Values in text and back, where a mistake on both sides would not show in a rule that is read and written again.
#include "control/rules/values.hpp"

#include <gtest/gtest.h>

namespace sluice::control {
namespace {

template <std::size_t N>
void expect_leading_ones() {
  for (std::size_t length = 0; length <= 8 * N; ++length) {
    const auto mask = prefix_mask<N>(length);
    for (std::size_t bit = 0; bit < 8 * N; ++bit) {
      ASSERT_EQ((mask[bit / 8] >> (7 - bit % 8) & 1) != 0, bit < length) << "bit " << bit << " of a /" << length;
    }
    EXPECT_EQ(prefix_length<N>(mask), length);
  }
}

TEST(PrefixMask, has_as_many_leading_ones_as_the_length_says) {
  expect_leading_ones<4>();
  expect_leading_ones<16>();
}

TEST(PrefixLength, is_of_leading_ones_alone) {
  EXPECT_EQ(prefix_length<4>({255, 0, 255, 0}), std::nullopt);
  EXPECT_EQ(prefix_length<4>({127, 0, 0, 0}), std::nullopt);
  EXPECT_EQ(prefix_length<4>({0, 0, 0, 1}), std::nullopt);
}

}  // namespace
}  // namespace sluice::control
