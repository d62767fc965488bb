// Notifier: which drivers are interrupted, and when: not where a lock may be held, and once for what belongs together.
#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <memory>
#include <utility>
#include <vector>

#include "ports/vhost/used_journal.hpp"
#include "tests/unit/rings/driver.hpp"

namespace sluice::test {
namespace {

template <typename Driver>
class Notifying : public ::testing::Test {
 protected:
  Notifying() {
    for (unsigned i = 0; i < 65; ++i) {
      drivers.push_back(std::make_unique<Driver>(guest, 16));
      drivers.back()->vring.call_fd = call;
    }
  }
  ~Notifying() override { ::close(call); }

  std::uint64_t interrupts() const {
    std::uint64_t n = 0;
    return ::read(call, &n, sizeof n) == sizeof n ? n : 0;
  }
  /// `used` more buffers of it.
  void publish(Driver& driver, unsigned used) {
    const RingPosition from = driver.progress.position;
    RingPosition to = from;
    to.next_used = static_cast<std::uint16_t>(from.next_used + used);
    if (driver.vring.packed && to.next_used >= driver.vring.size) {
      to.next_used = static_cast<std::uint16_t>(to.next_used - driver.vring.size);
      to.used_wrap ^= 1U;
    }
    driver.progress.position = to;
    notifier.published(driver.queue, driver.vring, from, to);
  }

  Guest guest;
  const int call = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  std::vector<std::unique_ptr<Driver>> drivers;
  Notifier notifier;
};
using Drivers = ::testing::Types<SplitDriver, PackedDriver>;
TYPED_TEST_SUITE(Notifying, Drivers);

TYPED_TEST(Notifying, as_many_queues_as_a_batch_can_go_to_are_interrupted_after_it_and_not_meanwhile) {
  for (unsigned batch = 0; batch < 3; ++batch) {
    this->notifier.make_room();
    static_cast<void>(this->interrupts());
    for (unsigned i = 0; i < 64; ++i) this->publish(*this->drivers[i], 1);
    EXPECT_EQ(this->interrupts(), 0U) << "a lock may be held";
  }
  this->notifier.notify();
  EXPECT_EQ(this->interrupts(), 64U) << "those of before were interrupted when room was made";
}

TYPED_TEST(Notifying, a_ring_that_goes_on_in_portions_is_one_interrupt_a_round) {
  for (unsigned i = 0; i < 5; ++i) this->publish(*this->drivers[0], 3);
  this->notifier.notify();
  EXPECT_EQ(this->interrupts(), 1U);
  this->publish(*this->drivers[0], 1);
  this->publish(*this->drivers[1], 1);
  this->publish(*this->drivers[0], 1);
  this->notifier.notify();
  EXPECT_EQ(this->interrupts(), 3U) << "another ring lies between";
}

TEST(NotifyingPacked, a_wish_in_any_portion_of_any_round_is_heard) {
  for (std::uint16_t wish = 0; wish < 16; ++wish) {
    for (const unsigned portion : {1U, 5U, 16U}) {
      Guest guest;
      PackedDriver driver(guest, 16);
      driver.vring.event_idx = true;
      driver.vring.call_fd = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
      driver.set_driver_event(static_cast<std::uint16_t>(wish | 0x8000U), packed::kEventDesc);  // of the first round
      Notifier notifier;
      PackedSlot at{0, 1};
      for (unsigned used = 0; used < 48; used += portion) {
        const PackedSlot next = at.behind(portion, 16);
        notifier.published(driver.queue, driver.vring, {at.slot, at.slot, at.wrap, at.wrap, 0},
                           {next.slot, next.slot, next.wrap, next.wrap, 0});
        at = next;
      }
      notifier.notify();
      std::uint64_t n = 0;
      EXPECT_EQ(::read(driver.vring.call_fd, &n, sizeof n), static_cast<ssize_t>(sizeof n)) << wish << ", " << portion;
      ::close(driver.vring.call_fd);
    }
  }
}

}  // namespace
}  // namespace sluice::test
