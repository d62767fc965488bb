// Comparing captures: no word where they are the same, and the right words where they are not.
#include <gmock/gmock.h>

#include "control/replay/compare.hpp"
#include "control/replay/decode.hpp"
#include "tests/unit/replay/files.hpp"

namespace sluice::control {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

using Compare = WithFolder;

constexpr CaptureTime kNoon = 1'714'564'800'000'000'001;  // 2024-05-01 12:00:00.000000001

std::vector<std::uint8_t> from_hex(const std::string& hex) {
  std::vector<std::uint8_t> bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2)
    bytes.push_back(static_cast<std::uint8_t>(std::stoul(hex.substr(i, 2), nullptr, 16)));
  return bytes;
}

/// UDP over IPv4 in VLAN 10.
const std::vector<std::uint8_t> kUdp = from_hex(
    "020000000002020000000001"
    "8100600a0800"
    "4500001f00010000401166cb0a0000010a000002"
    "03e807d0000b1234616263");

TEST_F(Compare, captures_of_the_same_frames_are_the_same) {
  const auto a = write("a", {{kNoon, kUdp}, {kNoon + 1, kUdp}});
  EXPECT_THAT(*compare_captures("vm1", a, a), IsEmpty());
  const auto none = write("b", {});
  EXPECT_THAT(*compare_captures("vm1", none, none), IsEmpty());
}

TEST_F(Compare, a_field_that_differs_is_named_with_both_values) {
  auto other = kUdp;
  other[26] = 63;
  const auto lines =
      *compare_captures("vm1", write("a", {{1, {1}}, {kNoon, other}}), write("b", {{1, {1}}, {kNoon, kUdp}}));
  ASSERT_GE(lines.size(), 5U);
  EXPECT_EQ(lines[0], "vm1: frame 2 differs (2 frames, expected 2)");
  EXPECT_THAT(lines[1], HasSubstr("2024-05-01 12:00:00.000000001 UTC, 49 bytes, dl_dst 02:00:00:00:00:02"));
  EXPECT_EQ(lines[3], "  nw_ttl: 63, expected 64");
  EXPECT_EQ(lines[4], "  byte 26 is the first that differs; from byte 16 on:");
  EXPECT_EQ(lines[5], "    is        08 00 45 00 00 1f 00 01 00 00 3f 11 66 cb 0a 00");
  EXPECT_EQ(lines[6], "    expected  08 00 45 00 00 1f 00 01 00 00 40 11 66 cb 0a 00");
  EXPECT_EQ(lines.size(), 7U);
}

TEST_F(Compare, a_tag_that_is_gone_is_named) {
  auto untagged = kUdp;
  untagged.erase(untagged.begin() + 12, untagged.begin() + 16);
  const auto lines = differences({kNoon, untagged}, {kNoon, kUdp});
  EXPECT_THAT(lines, AllOf(Contains("length: 45, expected 49"),
                           Contains("outer tag: not there, expected 802.1Q VID 10 PCP 3")));
  EXPECT_THAT(differences({kNoon, kUdp}, {kNoon, untagged}),
              Contains("outer tag: 802.1Q VID 10 PCP 3, expected not there"));
}

TEST_F(Compare, a_time_that_differs_is_a_difference) {
  EXPECT_THAT(differences({kNoon, kUdp}, {kNoon + 1, kUdp}),
              ElementsAre("time: 2024-05-01 12:00:00.000000001 UTC, expected 2024-05-01 12:00:00.000000002 UTC"));
  EXPECT_THAT(*compare_captures("p", write("a", {{1, {1}}}), write("b", {{2, {1}}})),
              Contains(HasSubstr("frame 1 differs")));
}

TEST_F(Compare, a_frame_too_few_or_too_many_is_told_as_such) {
  const CapturedFrame a{1, {1}}, b{2, {2}}, c{3, {3}};
  EXPECT_THAT(*compare_captures("p", write("x", {a, c}), write("y", {a, b, c})),
              ElementsAre("p: frame 2 differs (2 frames, expected 3)",
                          HasSubstr("expected and not there: 1970-01-01 00:00:00.000000002")));
  EXPECT_THAT(*compare_captures("p", write("x", {a, b, c}), write("y", {a, c})),
              ElementsAre(HasSubstr("frame 2"), HasSubstr("there and not expected: 1970-01-01 00:00:00.000000002")));
  EXPECT_THAT(*compare_captures("p", write("x", {a}), write("y", {a, b})),
              ElementsAre(HasSubstr("frame 2"), HasSubstr("not there")));
  EXPECT_THAT(*compare_captures("p", write("x", {a, b}), write("y", {a})),
              ElementsAre(HasSubstr("frame 2"), HasSubstr("not expected")));
}

TEST_F(Compare, a_file_that_cannot_be_read_is_an_error) {
  const auto a = write("a", {});
  EXPECT_THAT(compare_captures("p", a, path("none")).error().message, HasSubstr("none: no capture"));
  EXPECT_THAT(compare_captures("p", path("none"), a).error().message, HasSubstr("none: no capture"));
}

TEST(Decode, the_fields_of_a_frame_are_in_its_order) {
  const auto fields = decode(kUdp);
  EXPECT_THAT(fields, Contains(DecodedField{"nw_src", "10.0.0.1"}));
  EXPECT_THAT(fields, Contains(DecodedField{"nw_dst", "10.0.0.2"}));
  EXPECT_THAT(fields, Contains(DecodedField{"ip_checksum", "0x66cb"}));
  EXPECT_THAT(fields, Contains(DecodedField{"tp_src", "1000"}));
  EXPECT_EQ(fields.back(), (DecodedField{"udp_checksum", "0x1234"}));
  const auto arp =
      decode(from_hex("ffffffffffff020000000001080600010800060400010200000000010a0000010000000000000a000002"));
  EXPECT_EQ(arp.back(), (DecodedField{"arp_tpa", "10.0.0.2"}));
  EXPECT_THAT(arp, Contains(DecodedField{"arp_op", "1"}));
}

TEST(Decode, any_bytes_cut_off_anywhere_are_fine) {
  for (std::size_t size = 0; size <= kUdp.size(); ++size) {
    const std::vector<std::uint8_t> part(kUdp.begin(), kUdp.begin() + static_cast<std::ptrdiff_t>(size));
    const auto fields = decode(part);
    EXPECT_EQ(fields.empty(), size < 14);
  }
  auto lying = kUdp;
  for (int first = 0; first < 256; ++first) {
    lying[18] = static_cast<std::uint8_t>(first);
    EXPECT_FALSE(decode(lying).empty());
  }
}

}  // namespace
}  // namespace sluice::control
