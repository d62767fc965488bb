// From one guest's ring to another's: every byte, every layout, in order, and not a byte beside the buffers.
#include <gtest/gtest.h>
#include <sys/eventfd.h>

#include <memory>
#include <random>

#include "tests/unit/rings/driver.hpp"

namespace sluice::test {
namespace {

using ports::Burst;
using ports::DropReason;
using ports::Frame;
using ports::PortCounters;

constexpr std::uint8_t kGuard = 0xa5;

struct Random {
  std::mt19937 engine;
  std::uint32_t operator()() { return static_cast<std::uint32_t>(engine()); }
};

/// Bytes of a guest with guards around them.
struct Guarded {
  std::uint64_t gpa;
  std::uint32_t len;
};
Guarded guarded(Guest& guest, std::uint32_t len) {
  const std::uint64_t at = guest.allocate(len + 128, 1);
  std::memset(guest.at(at), kGuard, len + 128);
  return {at + 64, len};
}
void expect_guards(Guest& guest, const Guarded& g) {
  for (unsigned i = 0; i < 64; ++i) {
    ASSERT_EQ(guest.at(g.gpa - 64)[i], kGuard);
    ASSERT_EQ(guest.at(g.gpa + g.len)[i], kGuard);
  }
}

template <typename From, typename To>
struct Kinds {
  using Tx = From;
  using Rx = To;
};

template <typename K>
class Forward : public ::testing::Test {
 protected:
  std::unique_ptr<Burst> burst = std::make_unique<Burst>();
  PortCounters in, out;
};
using AllKinds = ::testing::Types<Kinds<SplitDriver, SplitDriver>, Kinds<SplitDriver, PackedDriver>,
                                  Kinds<PackedDriver, SplitDriver>, Kinds<PackedDriver, PackedDriver>>;
TYPED_TEST_SUITE(Forward, AllKinds);

/// Cuts a range of bytes into 1 to `most` descriptors.
std::vector<Buf> cut(Random& rng, std::uint64_t gpa, std::uint32_t len, unsigned most, bool write) {
  std::vector<Buf> bufs;
  while (len != 0) {
    const std::uint32_t part = bufs.size() + 1 == most ? len : 1 + rng() % len;
    bufs.push_back({gpa, part, write});
    gpa += part;
    len -= part;
  }
  return bufs;
}

TYPED_TEST(Forward, any_layout_arrives_byte_for_byte_in_order_and_nothing_else_is_written) {
  for (unsigned seed = 0; seed < 120; ++seed) {
    Random rng{std::mt19937(seed)};
    Guest a, b;
    typename TypeParam::Tx tx(a, 128);
    typename TypeParam::Rx rx(b, 128);
    rx.vring.mergeable = rng() % 2 != 0;
    struct Posted {
      Guarded g;
    };
    std::map<std::uint16_t, Guarded> posted;
    std::deque<std::vector<std::uint8_t>> sent;
    for (unsigned round = 0; round < 12; ++round) {
      for (unsigned i = 0; i < 24; ++i) {
        const std::uint32_t len = rx.vring.mergeable ? 64 + rng() % 2000 : 12 + 9100;
        const Guarded g = guarded(b, len);
        const auto id = rx.add(cut(rng, g.gpa, g.len, 1 + rng() % 4, true), rng() % 3 == 0);
        if (!id) break;
        posted[*id] = g;
      }
      std::vector<std::uint16_t> tx_ids;
      const unsigned frames = rng() % 20;
      for (unsigned i = 0; i < frames; ++i) {
        const std::uint32_t len = 14 + (rng() % 4 == 0 ? rng() % 9000 : rng() % 300);
        const std::uint64_t at = a.allocate(12 + len, 1);
        std::memset(a.at(at), 0, 12);
        for (std::uint32_t k = 0; k < len; ++k) a.at(at)[12 + k] = static_cast<std::uint8_t>(rng());
        const auto id = tx.add(cut(rng, at, 12 + len, 1 + rng() % 5, false), rng() % 3 == 0);
        if (!id) break;
        tx_ids.push_back(*id);
        sent.emplace_back(a.at(at) + 12, a.at(at) + 12 + len);
      }
      while (true) {
        receive(tx.queue, *this->burst, this->in);
        if (this->burst->borrowed_count == 0) break;
        ASSERT_EQ(this->burst->count, this->burst->borrowed_count);
        std::vector<Frame*> frames_out;
        for (Frame& f : this->burst->view()) {
          f.outputs = 1;
          frames_out.push_back(&f);
        }
        const std::uint64_t before = this->out.tx_packets.get();
        transmit(rx.queue, frames_out, this->out);
        // What did not fit is known from the counters, and is the tail of the batch.
        const std::uint64_t placed = this->out.tx_packets.get() - before;
        ASSERT_EQ(this->out.dropped(DropReason::tx_bad_descriptor), 0U);
        ASSERT_EQ(this->out.dropped(DropReason::tx_buffer_too_small), 0U);
        for (std::uint64_t i = 0; i < placed; ++i) {
          std::vector<std::uint8_t> got;
          auto used = rx.used();
          ASSERT_TRUE(used);
          NetHeader header{};
          std::memcpy(&header, b.at(posted.at(used->id).gpa), sizeof header);
          for (unsigned n = header.num_buffers;; used = rx.used()) {
            ASSERT_TRUE(used);
            const Guarded& g = posted.at(used->id);
            ASSERT_LE(used->len, g.len);
            got.insert(got.end(), b.at(g.gpa), b.at(g.gpa) + used->len);
            for (std::uint32_t k = used->len; k < g.len; ++k) ASSERT_EQ(b.at(g.gpa)[k], kGuard) << "written beyond";
            expect_guards(b, g);
            if (--n == 0) break;
          }
          const auto& want = sent[i];
          ASSERT_EQ(got.size(), 12 + want.size());
          ASSERT_TRUE(std::equal(want.begin(), want.end(), got.begin() + 12));
        }
        ASSERT_FALSE(rx.used());
        sent.erase(sent.begin(), sent.begin() + static_cast<long>(this->burst->count));
        for (const Frame& f : this->burst->view()) ASSERT_EQ(f.outputs, 0);
        ASSERT_FALSE(tx.used()) << "given back before release";
        release(tx.queue, *this->burst);
      }
      for (const std::uint16_t id : tx_ids) {
        const auto used = tx.used();
        ASSERT_TRUE(used);
        ASSERT_EQ(used->id, id);
        ASSERT_EQ(used->len, 0U);
      }
      ASSERT_FALSE(tx.used());
    }
    ASSERT_EQ(this->in.rx_packets.get(), this->out.tx_packets.get() + this->out.dropped(DropReason::tx_ring_full));
    ASSERT_EQ(tx.queue.guest_errors.get() + rx.queue.guest_errors.get(), 0U);
  }
}

TYPED_TEST(Forward, a_header_says_what_it_is_to_say_wherever_it_lies_and_whatever_was_there) {
  const NetHeader plain{0, 0, 0, 0, 0, 0, 1};
  const NetHeader partial{1, 0, 0, 0, 34, 16, 1};
  NetHeader garbage;
  std::memset(static_cast<void*>(&garbage), 0xff, sizeof garbage);
  // Each differs from `plain` in one field, or in all.
  const std::vector<NetHeader> stale{plain,
                                     partial,
                                     garbage,
                                     {1, 0, 0, 0, 0, 0, 1},
                                     {0, 1, 0, 0, 0, 0, 1},
                                     {0, 0, 0, 1, 0, 0, 1},
                                     {0, 0, 0, 0, 1, 0, 1},
                                     {0, 0, 0, 0, 0, 1, 1},
                                     {0, 0, 0, 0, 0, 0, 0},
                                     {0, 0, 0, 0, 0, 0, 2}};
  Guest a, b;
  typename TypeParam::Tx tx(a, 128);
  typename TypeParam::Rx rx(b, 128);
  for (const bool checksums : {false, true}) {
    tx.vring.tx_csum = rx.vring.rx_csum = checksums;
    for (const NetHeader& sent : {plain, partial, garbage}) {
      if (checksums && sent.flags == garbage.flags) continue;  // refused
      for (const NetHeader& was : stale) {
        for (const std::uint64_t before : {12U, 11U, 0U, 40U}) {  // of the frame: it begins a line, or not
          const std::uint64_t to = b.allocate(256) + 64 - before;
          std::memcpy(b.at(to), &was, sizeof was);
          ASSERT_TRUE(rx.add({{to, 128, true}}));
          const std::uint64_t from = a.allocate(12 + 60);
          std::memcpy(a.at(from), &sent, sizeof sent);
          ASSERT_TRUE(tx.add({{from, 12 + 60}}));
          receive(tx.queue, *this->burst, this->in);
          ASSERT_EQ(this->burst->count, 1U);
          Frame* frame = this->burst->frames.data();
          frame->outputs = 1;
          transmit(rx.queue, {&frame, 1}, this->out);
          release(tx.queue, *this->burst);
          this->burst->clear();
          ASSERT_TRUE(rx.used());
          ASSERT_TRUE(tx.used());
          const NetHeader& expected = checksums && sent.flags == 1 ? partial : plain;
          EXPECT_EQ(std::memcmp(b.at(to), &expected, sizeof expected), 0) << "frame " << before << " behind the buffer";
        }
      }
    }
  }
}

TYPED_TEST(Forward, every_written_page_is_in_the_dirty_log) {
  Random rng{std::mt19937(7)};
  Guest a, b;
  typename TypeParam::Tx tx(a, 64);
  typename TypeParam::Rx rx(b, 64);
  const int log_fd = ::memfd_create("log", MFD_CLOEXEC);
  const std::uint64_t log_size = (Guest::kSecondBase + Guest::kSecondSize) / DirtyLog::kPageSize / 8;
  ASSERT_EQ(::ftruncate(log_fd, static_cast<long>(log_size)), 0);
  auto log = DirtyLog::map(::dup(log_fd), 0, log_size);
  ASSERT_TRUE(log);
  rx.vring.log = log->get();
  rx.vring.log_used = true;
  rx.vring.mergeable = true;
  const auto* ring = rx.vring.packed ? reinterpret_cast<std::uint8_t*>(rx.vring.packed_desc)
                                     : reinterpret_cast<std::uint8_t*>(rx.vring.used);
  rx.vring.log_used_addr = Guest::kBase + static_cast<std::uint64_t>(ring - b.memory.entries()[0].host);

  std::vector<std::uint8_t> before(b.at(Guest::kBase), b.at(Guest::kBase) + Guest::kSize);
  for (unsigned i = 0; i < 60; ++i) rx.add({{b.allocate(3000, 1), 3000, true}});
  before.assign(b.at(Guest::kBase), b.at(Guest::kBase) + Guest::kSize);
  for (unsigned i = 0; i < 20; ++i) {
    const std::uint64_t at = a.allocate(6012);
    for (unsigned k = 12; k < 6012; ++k) a.at(at)[k] = static_cast<std::uint8_t>(rng() | 1U);
    tx.add({{at, 6012}});
  }
  receive(tx.queue, *this->burst, this->in);
  std::vector<Frame*> frames;
  for (Frame& f : this->burst->view()) {
    f.outputs = 1;
    frames.push_back(&f);
  }
  transmit(rx.queue, frames, this->out);
  release(tx.queue, *this->burst);
  ASSERT_EQ(this->out.tx_packets.get(), 20U);

  std::vector<std::uint8_t> bits(log_size);
  ASSERT_EQ(::pread(log_fd, bits.data(), log_size, 0), static_cast<ssize_t>(log_size));
  unsigned dirty = 0;
  for (std::uint64_t offset = 0; offset < Guest::kSize; offset += DirtyLog::kPageSize) {
    const std::uint64_t page = (Guest::kBase + offset) / DirtyLog::kPageSize;
    const bool marked = (bits[page / 8] >> (page % 8) & 1U) != 0;
    const bool changed = std::memcmp(before.data() + offset, b.at(Guest::kBase + offset), DirtyLog::kPageSize) != 0;
    ASSERT_TRUE(marked || !changed) << "page " << page;
    dirty += marked;
  }
  ASSERT_GT(dirty, 20U);
  ASSERT_LT(dirty, 80U) << "pages that were not written are marked";
  ::close(log_fd);
}

TYPED_TEST(Forward, a_driver_is_interrupted_only_if_it_wants_to_be) {
  Guest a, b;
  typename TypeParam::Tx tx(a, 64);
  typename TypeParam::Rx rx(b, 64);
  const int call = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  rx.vring.call_fd = call;
  const auto interrupts = [&] {
    std::uint64_t n = 0;
    return ::read(call, &n, sizeof n) == sizeof n ? n : 0;
  };
  const auto send = [&](unsigned frames) {
    for (unsigned i = 0; i < frames; ++i) {
      rx.add({{b.allocate(100), 100, true}});
      tx.add({{a.allocate(72), 72}});
    }
    receive(tx.queue, *this->burst, this->in);
    std::vector<Frame*> out;
    for (Frame& f : this->burst->view()) {
      f.outputs = 1;
      out.push_back(&f);
    }
    transmit(rx.queue, out, this->out);
    release(tx.queue, *this->burst);
    while (rx.used()) {
    }
    while (tx.used()) {
    }
  };
  send(5);
  EXPECT_EQ(interrupts(), 1U) << "one a burst";
  if constexpr (std::is_same_v<typename TypeParam::Rx, SplitDriver>) {
    rx.set_avail_flags(split::kAvailNoInterrupt);
    send(5);
    EXPECT_EQ(interrupts(), 0U);
    rx.vring.event_idx = true;  // then the flag means nothing
    rx.set_used_event(12);      // 10 were used: the 13th is asked for
    send(2);
    EXPECT_EQ(interrupts(), 0U);
    send(1);
    EXPECT_EQ(interrupts(), 1U);
    send(3);
    EXPECT_EQ(interrupts(), 0U);
    rx.set_used_event(static_cast<std::uint16_t>(16 + 60));
    for (unsigned i = 0; i < 60; ++i) send(1);
    EXPECT_EQ(interrupts(), 0U);
    send(1);
    EXPECT_EQ(interrupts(), 1U);
  } else {
    rx.set_driver_event(0, packed::kEventDisable);
    send(5);
    EXPECT_EQ(interrupts(), 0U);
    rx.vring.event_idx = true;
    rx.set_driver_event(12 | 0x8000U, packed::kEventDesc);
    send(2);
    EXPECT_EQ(interrupts(), 0U);
    send(1);
    EXPECT_EQ(interrupts(), 1U);
    send(3);
    EXPECT_EQ(interrupts(), 0U);
    rx.set_driver_event(4, packed::kEventDesc);  // slot 4 of the next time round
    for (unsigned i = 0; i < 52; ++i) send(1);   // 16 .. 67, which is slot 3
    EXPECT_EQ(interrupts(), 0U);
    send(1);
    EXPECT_EQ(interrupts(), 1U);
  }
  ::close(call);
}

}  // namespace
}  // namespace sluice::test
