// IN_ORDER (virtio 1.2, sections 2.7.9 and 2.8.8): what was received is given back by one element a burst.
#include <gtest/gtest.h>

#include <memory>
#include <random>

#include "tests/unit/rings/driver.hpp"

namespace sluice::test {
namespace {

template <typename Driver>
class InOrder : public ::testing::Test {
 protected:
  Guest guest;
  Driver driver{guest, 64};
  std::unique_ptr<ports::Burst> burst = std::make_unique<ports::Burst>();
  ports::PortCounters counters;
};
using Drivers = ::testing::Types<SplitDriver, PackedDriver>;
TYPED_TEST_SUITE(InOrder, Drivers);

TYPED_TEST(InOrder, one_element_gives_a_burst_back_whatever_its_chains_are) {
  this->driver.vring.in_order = true;
  std::mt19937 random(1);
  const auto header = this->guest.allocate(64);
  const auto bytes = this->guest.allocate(2048);
  unsigned sent = 0;
  for (unsigned round = 0; round < 500; ++round) {
    const unsigned chains = 1 + random() % ports::kBurstSize;
    unsigned made = 0;
    for (; made < chains; ++made) {
      std::vector<Buf> bufs{{header, kNetHeaderSize}};
      for (auto more = 1 + random() % 3; more != 0; --more) bufs.push_back({bytes, 60});
      if (random() % 8 == 0) bufs.back().len = 0;  // malformed: dropped, and given back with the others
      if (random() % 2 == 0) bufs = {{bytes, 100}};
      if (!this->driver.add(bufs, random() % 4 == 0)) break;
    }
    receive(this->driver.queue, *this->burst, this->counters);
    ASSERT_EQ(this->burst->borrowed_count, made) << "round " << round;
    release(this->driver.queue, *this->burst);
    EXPECT_EQ(this->driver.used_in_order(), made) << "round " << round;
    EXPECT_EQ(this->driver.used_in_order(), 0U) << "round " << round;
    sent += made;
  }
  EXPECT_EQ(this->counters.rx_packets.get(), sent);
}

TYPED_TEST(InOrder, without_it_each_chain_is_given_back_by_itself) {
  const auto bytes = this->guest.allocate(2048);
  std::vector<std::uint16_t> ids;
  for (unsigned i = 0; i < 5; ++i) ids.push_back(*this->driver.add({{bytes, 100}}));
  receive(this->driver.queue, *this->burst, this->counters);
  release(this->driver.queue, *this->burst);
  for (const auto id : ids) {
    const auto used = this->driver.used();
    ASSERT_TRUE(used.has_value());
    EXPECT_EQ(used->id, id);
  }
}

}  // namespace
}  // namespace sluice::test
