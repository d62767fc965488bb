// parse against scapy, field by field, and over every truncation of every packet.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <map>
#include <string>
#include <vector>

#include "tests/unit/parse/frame_copy.hpp"
#include "tests/unit/parse/scapy_cases.hpp"

namespace sluice::datapath::test {
namespace {

using flowtable::FlowKey;
using flowtable::PacketClass;
using ports::DropReason;
using sluice::test::scapy_cases;
using Case = sluice::test::ScapyCase;

const std::vector<Case>& cases() {
  static const std::vector<Case> all = scapy_cases(2000);
  return all;
}

std::string hex(std::span<const std::uint8_t> bytes) {
  std::string text;
  for (const std::uint8_t byte : bytes) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    text += kDigits[byte >> 4U];
    text += kDigits[byte & 15U];
  }
  const std::size_t first = text.find_first_not_of('0');
  return first == std::string::npos ? "" : text.substr(first);
}
std::string hex_be(std::uint16_t value) { return hex({reinterpret_cast<const std::uint8_t*>(&value), sizeof value}); }
std::string hex(std::uint8_t value) { return hex({&value, 1}); }

std::map<std::string, std::string> fields_of(const FlowKey& key) {
  std::map<std::string, std::string> fields{
      {"class", hex(key.packet_class)},
      {"outer_kind", hex(static_cast<std::uint8_t>(key.outer_tag()))},
      {"outer_tci", hex_be(key.outer_tci_be)},
      {"inner_kind", hex(static_cast<std::uint8_t>(key.inner_tag()))},
      {"inner_tci", hex_be(key.inner_tci_be)},
      {"dl_dst", hex(key.dl_dst.bytes)},
      {"dl_src", hex(key.dl_src.bytes)},
      {"ethertype", hex_be(key.ethertype_be)},
      {"nw_proto", hex(key.nw_proto)},
      {"nw_tos", hex(key.nw_tos)},
      {"nw_src", hex(key.nw_src)},
      {"nw_dst", hex(key.nw_dst)},
      {"tp_src", hex_be(key.tp_src_be)},
      {"tp_dst", hex_be(key.tp_dst_be)},
      {"nw_frag", hex(key.nw_frag)},
  };
  std::erase_if(fields, [](const auto& field) { return field.second.empty(); });
  return fields;
}

TEST(Scapy, reads_the_same_fields_out_of_every_packet) {
  ASSERT_EQ(cases().size(), 2000U);
  std::array<unsigned, flowtable::kPacketClasses> seen{};
  unsigned hidden = 0;
  for (const Case& c : cases()) {
    const Parsed parsed = parse_copy(c.frame);
    if (parsed.dropped) {
      // Only for headers that do reach beyond what is looked at: in none of these can that be without extensions.
      ASSERT_EQ(*parsed.dropped, DropReason::rx_headers_too_long) << c.text;
      ASSERT_GT(c.frame.size(), ports::kHeadSize) << c.text;
      ++hidden;
      continue;
    }
    ASSERT_EQ(fields_of(parsed.key), c.fields) << c.text;
    ASSERT_EQ(parsed.key.in_port, kInPort);
    ASSERT_EQ(parsed.key.reserved, 0);
    ASSERT_EQ(parsed.key.mask_generation, 0);
    ++seen[parsed.key.packet_class];
  }
  for (std::size_t i = 0; i < seen.size(); ++i)
    EXPECT_GT(seen[i], 5U) << "class " << i << " is hardly among the packets";
  EXPECT_LT(hidden, 5U);
}

TEST(Scapy, network_and_transport_offsets_point_at_their_headers) {
  for (const Case& c : cases()) {
    const Parsed parsed = parse_copy(c.frame);
    if (parsed.dropped) continue;
    const unsigned tags = (parsed.key.tag_kinds & 15U ? 1U : 0U) + (parsed.key.tag_kinds >> 4U ? 1U : 0U);
    const auto packet_class = static_cast<PacketClass>(parsed.key.packet_class);
    ASSERT_EQ(parsed.l3_offset, packet_class == PacketClass::other ? 0U : 14U + 4U * tags) << c.text;
    const bool ports = parsed.key.tp_src_be != 0 || parsed.key.tp_dst_be != 0;
    if (!ports) continue;
    ASSERT_NE(parsed.l4_offset, 0) << c.text;
    const bool icmp = packet_class == PacketClass::ipv4_icmp || packet_class == PacketClass::ipv6_icmp;
    const std::uint8_t* l4 = c.frame.data() + parsed.l4_offset;
    if (icmp) {
      ASSERT_EQ(l4[0] * 256U + l4[1], (parsed.key.tp_src_be >> 8U) * 256U + (parsed.key.tp_dst_be >> 8U)) << c.text;
    } else {
      ASSERT_EQ(std::memcmp(l4, &parsed.key.tp_src_be, 4), 0) << c.text;
    }
  }
}

// However little of a frame there is to look at, it is never taken for another: its key is that of the whole, or it is
// dropped by name. Once there is enough, more changes nothing.
TEST(Scapy, a_shorter_head_gives_the_same_key_or_none) {
  for (const Case& c : cases()) {
    const Parsed whole = parse_copy(c.frame);
    bool enough = false;
    for (std::size_t head = 0; head <= std::min<std::size_t>(c.frame.size(), ports::kHeadSize + 1); ++head) {
      const Parsed parsed = parse_copy(std::span(c.frame).first(head), c.frame.size());
      if (parsed.dropped && parsed.dropped != whole.dropped) {
        ASSERT_EQ(*parsed.dropped, DropReason::rx_headers_too_long) << head << " bytes of " << c.text;
        ASSERT_FALSE(enough) << head << " bytes of " << c.text;
      } else if (!parsed.dropped) {
        ASSERT_EQ(parsed, whole) << head << " bytes of " << c.text;
        enough = true;
      }
    }
  }
}

// The frame itself cut off: its addresses stay, and what an IP header says of its length is a lie from then on.
TEST(Scapy, every_truncation_of_every_packet_is_a_runt_or_keyed_by_what_is_there) {
  for (const Case& c : cases()) {
    const Parsed whole = parse_copy(c.frame);
    for (std::size_t size = 0; size < std::min<std::size_t>(c.frame.size(), 300); ++size) {
      const Parsed parsed = parse_copy(std::span(c.frame).first(size));
      ASSERT_EQ(parsed.dropped == DropReason::rx_runt, size < 14) << size << " bytes of " << c.text;
      if (parsed.dropped || whole.dropped) continue;
      ASSERT_EQ(parsed.key.dl_dst, whole.key.dl_dst);
      ASSERT_EQ(parsed.key.dl_src, whole.key.dl_src);
      if (parsed == whole) continue;
      const auto packet_class = static_cast<PacketClass>(parsed.key.packet_class);
      ASSERT_EQ(packet_class, PacketClass::other) << size << " bytes of " << c.text;
      const auto fields = fields_of(parsed.key);
      for (const char* absent : {"nw_proto", "nw_tos", "nw_src", "nw_dst", "nw_frag", "tp_src", "tp_dst"}) {
        ASSERT_EQ(fields.count(absent), 0U) << absent << " in " << size << " bytes of " << c.text;
      }
      ASSERT_EQ(parsed.l3_offset + parsed.l4_offset, 0);
    }
  }
}

}  // namespace
}  // namespace sluice::datapath::test
