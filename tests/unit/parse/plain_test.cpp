// parse_plain and parse_any read the same frames in two ways: what they say of one must not differ.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <optional>
#include <random>
#include <span>
#include <vector>

#include "datapath/parse_plain.hpp"
#include "tests/unit/parse/frame_copy.hpp"
#include "tests/unit/parse/scapy_cases.hpp"

namespace sluice::datapath::test {
namespace {

/// What each of the two says of a frame of `size` bytes of which `head` is there; each sees bytes of its own.
Parsed by_any(std::span<const std::uint8_t> head, std::size_t size) { return parse_copy_by(head, size, {}, parse_any); }
std::optional<Parsed> by_plain(std::span<const std::uint8_t> head, std::size_t size) {
  bool plain = false;
  const Parsed parsed = parse_copy_by(head, size, {}, [&](ports::Frame& frame, flowtable::PortId port, auto& key) {
    const ports::Frame frame_before = frame;
    const flowtable::FlowKey key_before = key;
    plain = parse_plain(frame, port, key);
    if (!plain) {
      EXPECT_EQ(std::memcmp(&frame, &frame_before, sizeof frame), 0);
      EXPECT_EQ(key, key_before);
    }
    return std::optional<ports::DropReason>();
  });
  return plain ? std::optional(parsed) : std::nullopt;
}

TEST(Plain, what_is_plain_has_the_key_and_offsets_that_any_frame_with_its_bytes_has) {
  std::mt19937 random(1);
  const auto below = [&](std::size_t n) { return std::uniform_int_distribution<std::size_t>(0, n - 1)(random); };
  unsigned plain = 0;
  unsigned not_plain = 0;
  for (const sluice::test::ScapyCase& packet : sluice::test::scapy_cases(2000)) {
    const bool is_plain = by_plain(packet.frame, packet.frame.size()).has_value();
    // As it was made; then with bits changed in its headers, its end cut off or more behind, and not all to be seen.
    for (unsigned round = 0; round < (is_plain ? 200 : 5); ++round) {
      std::vector<std::uint8_t> bytes = packet.frame;
      for (unsigned change = 0; change < round % 4; ++change) {
        switch (below(4)) {
          case 0: bytes.resize(bytes.size() - below(std::min<std::size_t>(bytes.size(), 60))); break;
          case 1: bytes.resize(bytes.size() + below(8)); break;
          default: bytes[below(std::min<std::size_t>(bytes.size(), 60))] ^= static_cast<std::uint8_t>(1U << below(8));
        }
      }
      const auto seen = std::span(bytes).first(below(4) == 0 ? below(bytes.size()) + 1 : bytes.size());
      const auto parsed = by_plain(seen, bytes.size());
      if (parsed) {
        EXPECT_EQ(*parsed, by_any(seen, bytes.size())) << packet.text << ", round " << round;
      }
      ++(parsed ? plain : not_plain);
    }
  }
  EXPECT_GT(plain, 1000U);
  EXPECT_GT(not_plain, 1000U);
}

}  // namespace
}  // namespace sluice::datapath::test
