// A process may die between any two stores with which it shows a packed ring's driver what it has used. Whoever comes
// next finishes it: the driver gets every chain back once, in order, whatever it has done itself in between.
#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <vector>

#include "ports/vhost/used_journal.hpp"
#include "tests/unit/rings/driver.hpp"

namespace sluice::test {
namespace {

class Journal : public ::testing::Test {
 protected:
  static constexpr std::uint32_t kSize = 16;

  /// Makes `count` chains of one to three descriptors available, and notes them.
  void make_available(unsigned count) {
    for (unsigned i = 0; i < count; ++i) {
      std::vector<Buf> bufs(1 + random_() % 3, Buf{guest_.allocate(64), 64});
      const auto id = driver_.add(bufs);
      ASSERT_TRUE(id);
      chains_.push_back(
          UsedChain{*id, static_cast<std::uint16_t>(bufs.size()), static_cast<std::uint32_t>(chains_.size())});
    }
  }
  void write_journal() {
    RingJournal& journal = driver_.progress.journal;
    std::copy(chains_.begin(), chains_.end(), journal.chains.begin());
    begin_showing(journal, driver_.progress.position, static_cast<unsigned>(chains_.size()));
  }
  /// The stores of show(), the first `count` of them: the first slot's is the last.
  void show_part(std::size_t count) {
    const std::vector<packed::Desc> before(driver_.vring.packed_desc, driver_.vring.packed_desc + kSize);
    show(driver_.vring, driver_.progress.journal);
    PackedSlot at{driver_.progress.position.next_used, driver_.progress.position.used_wrap};
    for (std::size_t i = 0; i < chains_.size(); ++i) {
      const std::size_t turn = i == 0 ? chains_.size() - 1 : i - 1;
      if (turn >= count) driver_.vring.packed_desc[at.slot] = before[at.slot];
      at = at.behind(chains_[i].descriptors, kSize);
    }
  }
  /// The driver takes back what it sees, at most `count` chains.
  void take_back(std::size_t count) {
    for (; count != 0; --count) {
      const auto used = driver_.used();
      if (!used) return;
      ASSERT_LT(taken_, chains_.size());
      EXPECT_EQ(used->id, chains_[taken_].id);
      EXPECT_EQ(used->len, chains_[taken_].len);
      ++taken_;
    }
  }
  /// A successor finishes, and the driver has everything back; then a frame goes through.
  void expect_that_it_is_finished() {
    ASSERT_TRUE(finish_showing(driver_.vring, driver_.progress));
    EXPECT_EQ(driver_.progress.journal.count, 0U);
    take_back(chains_.size());
    EXPECT_EQ(taken_, chains_.size());
    EXPECT_FALSE(driver_.used());
  }
  void expect_that_the_ring_goes_on() {
    const auto id = driver_.add({{guest_.allocate(100), 100}});
    ASSERT_TRUE(id);
    const auto burst = std::make_unique<ports::Burst>();
    receive(driver_.queue, *burst, counters_);
    EXPECT_EQ(burst->count, 1U);
    release(driver_.queue, *burst);
    const auto used = driver_.used();
    ASSERT_TRUE(used);
    EXPECT_EQ(used->id, *id);
  }
  void forget() {
    chains_.clear();
    taken_ = 0;
  }

  std::minstd_rand random_{1};
  Guest guest_;
  PackedDriver driver_{guest_, kSize};
  std::vector<UsedChain> chains_;
  std::size_t taken_ = 0;
  ports::PortCounters counters_;
};

TEST_F(Journal, every_instant_of_death_is_finished_by_the_successor) {
  for (unsigned round = 0; round < 50; ++round) {  // the ring goes round, so that every wrap is met
    const auto count = static_cast<unsigned>(1 + random_() % 5);
    for (unsigned stores = 0; stores <= count; ++stores) {
      SCOPED_TRACE("round " + std::to_string(round) + ", dead after " + std::to_string(stores) + " of " +
                   std::to_string(count) + " slots");
      forget();
      make_available(count);
      write_journal();
      show_part(stores);
      expect_that_it_is_finished();
      expect_that_the_ring_goes_on();
      if (HasFailure()) return;
    }
  }
}

TEST_F(Journal, a_driver_that_has_gone_on_already_loses_nothing) {
  for (unsigned round = 0; round < 50; ++round) {
    SCOPED_TRACE(round);
    forget();
    make_available(4);
    write_journal();
    show_part(4);
    take_back(1 + random_() % 4);
    // New chains in the slots of those that it took back; the position still says nothing of all this.
    const auto id = driver_.add({{guest_.allocate(100), 100}});
    ASSERT_TRUE(id);
    expect_that_it_is_finished();
    const auto burst = std::make_unique<ports::Burst>();
    receive(driver_.queue, *burst, counters_);
    ASSERT_EQ(burst->count, 1U);
    release(driver_.queue, *burst);
    const auto used = driver_.used();
    ASSERT_TRUE(used);
    EXPECT_EQ(used->id, *id);
    if (HasFailure()) return;
  }
}

TEST_F(Journal, all_that_is_shown_is_in_the_dirty_log_whatever_the_instant_of_death) {
  const int fd = ::memfd_create("log", MFD_CLOEXEC);
  ASSERT_EQ(::ftruncate(fd, 1), 0);
  const auto log = DirtyLog::map(::dup(fd), 0, 1);
  ASSERT_TRUE(log) << log.error();
  driver_.vring.log = log->get();
  driver_.vring.log_used_addr = DirtyLog::kPageSize - kSize / 2 * sizeof(packed::Desc);  // pages 0 and 1
  for (unsigned round = 0; round < 50; ++round) {
    const auto count = static_cast<unsigned>(1 + random_() % 5);
    for (unsigned stores = 0; stores <= count; ++stores) {
      SCOPED_TRACE("round " + std::to_string(round) + ", dead after " + std::to_string(stores) + " of " +
                   std::to_string(count) + " slots");
      forget();
      make_available(count);
      write_journal();
      PackedSlot at{driver_.progress.position.next_used, driver_.progress.position.used_wrap};
      unsigned pages = 0;
      for (const UsedChain& chain : chains_) {
        pages |= at.slot < kSize / 2 ? 1U : 2U;
        at = at.behind(chain.descriptors, kSize);
      }
      show_part(stores);  // and dead before it was marked
      driver_.vring.log_used = true;
      expect_that_it_is_finished();
      driver_.vring.log_used = false;
      std::uint8_t marked = 0;
      ASSERT_EQ(::pread(fd, &marked, 1, 0), 1);
      EXPECT_EQ(marked, pages);
      ASSERT_EQ(::pwrite(fd, "", 1, 0), 1);
      if (HasFailure()) break;
    }
    if (HasFailure()) break;
  }
  ::close(fd);
}

TEST_F(Journal, a_successor_that_dies_as_well_is_followed_by_another) {
  make_available(3);
  write_journal();
  show_part(1);
  show_part(2);  // what the second did
  expect_that_it_is_finished();
  expect_that_the_ring_goes_on();
}

TEST_F(Journal, chains_that_were_taken_and_not_used_are_available_again) {
  make_available(3);
  const auto burst = std::make_unique<ports::Burst>();
  receive(driver_.queue, *burst, counters_);
  EXPECT_EQ(burst->borrowed_count, 3U);
  // dead before release
  driver_.vring.serial = new_vring_serial();
  ASSERT_TRUE(finish_showing(driver_.vring, driver_.progress));
  receive(driver_.queue, *burst, counters_);
  EXPECT_EQ(burst->borrowed_count, 3U);
}

TEST_F(Journal, what_cannot_be_is_refused) {
  const auto refused = [this](auto&& change) {
    RingProgress progress = driver_.progress;
    change(progress);
    const RingProgress before = progress;
    EXPECT_FALSE(finish_showing(driver_.vring, progress));
    EXPECT_EQ(progress.position.next_used, before.position.next_used);
  };
  refused([](RingProgress& p) { p.position.next_used = kSize; });
  refused([](RingProgress& p) { p.position.used_wrap = 2; });
  refused([](RingProgress& p) { p.journal.count = RingJournal::kCapacity + 1; });
  refused([](RingProgress& p) {
    p.journal.count = 1;
    p.journal.chains[0] = {0, 0, 0};
  });
  refused([](RingProgress& p) {
    p.journal.count = 2;
    p.journal.chains[0] = p.journal.chains[1] = {0, kSize / 2 + 1, 0};
  });
  refused([](RingProgress& p) {
    p.journal.count = 1;
    p.journal.chains[0] = {0, 1, 0};
    p.journal.from.next_used = kSize;
  });
}

}  // namespace
}  // namespace sluice::test
