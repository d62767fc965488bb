// parse on frames that lie, or that are cut off where it matters: what the header of parse promises, line by line.
#include "datapath/parse.hpp"

#include <gtest/gtest.h>

#include <array>
#include <initializer_list>
#include <vector>

#include "tests/unit/parse/frame_copy.hpp"

namespace sluice::datapath::test {
namespace {

using flowtable::kFragAny;
using flowtable::kFragLater;
using flowtable::PacketClass;
using flowtable::TagKind;
using ports::DropReason;
using Bytes = std::vector<std::uint8_t>;

constexpr std::size_t kL3 = 14;

Bytes operator+(Bytes a, const Bytes& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}
Bytes filled(std::size_t size, std::uint8_t with = 0) { return Bytes(size, with); }
Bytes ethernet(std::uint16_t type) {
  return Bytes{
      2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, static_cast<std::uint8_t>(type >> 8U), static_cast<std::uint8_t>(type)};
}
// An IPv4 packet without options whose total length is that of its payload, plus `more`.
Bytes ipv4(std::uint8_t proto, const Bytes& payload, int more = 0, std::uint16_t fragment = 0) {
  const auto total = static_cast<std::uint16_t>(20 + static_cast<int>(payload.size()) + more);
  return ethernet(0x0800) +
         Bytes{0x45,
               0,
               static_cast<std::uint8_t>(total >> 8U),
               static_cast<std::uint8_t>(total),
               0,
               1,
               static_cast<std::uint8_t>(fragment >> 8U),
               static_cast<std::uint8_t>(fragment),
               64,
               proto,
               0,
               0,
               10,
               0,
               0,
               1,
               10,
               0,
               0,
               2} +
         payload;
}
Bytes ipv6(std::uint8_t next, const Bytes& payload, int more = 0) {
  const auto length = static_cast<std::uint16_t>(static_cast<int>(payload.size()) + more);
  return ethernet(0x86dd) +
         Bytes{0x60, 0, 0, 0, static_cast<std::uint8_t>(length >> 8U), static_cast<std::uint8_t>(length), next, 64} +
         filled(16, 0xa) + filled(16, 0xb) + payload;
}
const Bytes kPorts{0x12, 0x34, 0x56, 0x78};
Bytes l4(std::size_t size) { return kPorts + filled(size - kPorts.size()); }

PacketClass class_of(const Parsed& parsed) {
  EXPECT_FALSE(parsed.dropped.has_value());
  return static_cast<PacketClass>(parsed.key.packet_class);
}
void expect_no_ports(const Parsed& parsed) {
  EXPECT_EQ(parsed.key.tp_src_be, 0);
  EXPECT_EQ(parsed.key.tp_dst_be, 0);
  EXPECT_EQ(parsed.l4_offset, 0);
}
void expect_other(const Parsed& parsed, std::uint16_t ethertype) {
  ASSERT_FALSE(parsed.dropped.has_value());
  flowtable::FlowKey expected{};
  expected.in_port = kInPort;
  expected.dl_dst = {{2, 0, 0, 0, 0, 1}};
  expected.dl_src = {{2, 0, 0, 0, 0, 2}};
  expected.ethertype_be = static_cast<std::uint16_t>((ethertype << 8U) | (ethertype >> 8U));
  EXPECT_EQ(parsed.key, expected);
  EXPECT_EQ(parsed.l3_offset, 0);
  EXPECT_EQ(parsed.l4_offset, 0);
}

struct Protocol {
  std::uint8_t number;
  std::size_t size;
  PacketClass ipv4;
  PacketClass ipv6;
};
constexpr std::array kProtocols{
    Protocol{6, 20, PacketClass::ipv4_tcp, PacketClass::ipv6_tcp},
    Protocol{17, 8, PacketClass::ipv4_udp, PacketClass::ipv6_udp},
    Protocol{132, 12, PacketClass::ipv4_sctp, PacketClass::ipv6_sctp},
    Protocol{1, 4, PacketClass::ipv4_icmp, PacketClass::ipv6_other},
    Protocol{58, 4, PacketClass::ipv4_other, PacketClass::ipv6_icmp},
};

TEST(Parse, authentication_header_is_as_long_as_it_says_in_words_of_four_bytes) {
  constexpr std::uint8_t kAh = 51;
  for (std::uint8_t words = 0; words < 20; ++words) {  // RFC 4302, 2.2: less two
    const Bytes header = Bytes{17, words} + filled((words + 2U) * 4U - 2U, 0xff);
    const Parsed parsed = parse_copy(ipv6(kAh, header + l4(8)));
    EXPECT_EQ(class_of(parsed), PacketClass::ipv6_udp) << words;
    EXPECT_EQ(parsed.l4_offset, kL3 + 40 + header.size()) << words;
    EXPECT_EQ(parsed.key.tp_src_be, 0x3412) << words;
    EXPECT_EQ(class_of(parse_copy(ipv6(kAh, header))), PacketClass::ipv6_other) << words;
  }
}

TEST(Parse, l4_class_is_given_from_the_whole_minimal_header_on) {
  for (const Protocol& protocol : kProtocols) {
    for (std::size_t size = 4; size < 24; ++size) {
      const bool enough = size >= protocol.size;
      // Padding behind the packet is not its header.
      for (const std::size_t padding : {0U, 30U}) {
        const Parsed v4 = parse_copy(ipv4(protocol.number, l4(size)) + filled(padding, 9));
        EXPECT_EQ(class_of(v4), enough ? protocol.ipv4 : PacketClass::ipv4_other) << size << " + " << padding;
        EXPECT_EQ(v4.key.nw_proto, protocol.number);
        if (class_of(v4) == PacketClass::ipv4_other) {
          expect_no_ports(v4);
        } else {
          EXPECT_EQ(v4.l4_offset, kL3 + 20);
        }
        const Parsed v6 = parse_copy(ipv6(protocol.number, l4(size)) + filled(padding, 9));
        EXPECT_EQ(class_of(v6), enough ? protocol.ipv6 : PacketClass::ipv6_other) << size << " + " << padding;
        EXPECT_EQ(v6.key.nw_proto, protocol.number);
        if (class_of(v6) == PacketClass::ipv6_other) {
          expect_no_ports(v6);
        } else {
          EXPECT_EQ(v6.l4_offset, kL3 + 40);
        }
      }
    }
  }
}

TEST(Parse, icmp_type_and_code_are_in_the_low_bytes) {
  for (const Bytes& frame : {ipv4(1, {8, 3, 0, 0}), ipv6(58, {8, 3, 0, 0})}) {
    const Parsed parsed = parse_copy(frame);
    EXPECT_EQ(parsed.key.tp_src_be, 8U << 8U);
    EXPECT_EQ(parsed.key.tp_dst_be, 3U << 8U);
  }
}

TEST(Parse, ip_header_that_lies_is_keyed_by_its_ethertype) {
  const Bytes good = ipv4(17, l4(8));
  ASSERT_EQ(class_of(parse_copy(good)), PacketClass::ipv4_udp);
  for (const auto first : std::initializer_list<std::uint8_t>{0x35, 0x65, 0x05, 0x44, 0x40, 0x4f, 0x48}) {
    Bytes frame = good;
    frame[kL3] = first;
    expect_other(parse_copy(frame), 0x0800);
  }
  expect_other(parse_copy(ipv4(17, l4(8), 1)), 0x0800);
  expect_other(parse_copy(ipv4(17, l4(8), 60000)), 0x0800);
  expect_other(parse_copy(ipv4(17, l4(8), -9)), 0x0800);
  expect_other(parse_copy(ipv4(17, l4(8), -28)), 0x0800);

  Bytes six = ipv6(17, l4(8));
  ASSERT_EQ(class_of(parse_copy(six)), PacketClass::ipv6_udp);
  six[kL3] = 0x45;
  expect_other(parse_copy(six), 0x86dd);
  expect_other(parse_copy(ipv6(17, l4(8), 1)), 0x86dd);
}

TEST(Parse, length_of_zero_is_to_the_end_of_the_frame_only_if_it_asks_for_segmentation) {
  ports::Offload tso;
  tso.gso_type = ports::Offload::kGsoTcpV4;
  tso.gso_size = 1448;
  EXPECT_EQ(class_of(parse_copy(ipv4(6, l4(20), -40), tso)), PacketClass::ipv4_tcp);
  expect_other(parse_copy(ipv4(6, l4(20), -40)), 0x0800);
  expect_other(parse_copy(ipv4(6, l4(20), -39), tso), 0x0800);
  expect_other(parse_copy(ipv4(6, l4(20), 1), tso), 0x0800);
  tso.gso_type = ports::Offload::kGsoTcpV6;
  EXPECT_EQ(class_of(parse_copy(ipv6(6, l4(20), -20), tso)), PacketClass::ipv6_tcp);
  const Parsed empty = parse_copy(ipv6(6, l4(20), -20));
  EXPECT_EQ(class_of(empty), PacketClass::ipv6_other);
  EXPECT_EQ(empty.key.nw_proto, 6);
  expect_no_ports(empty);
}

TEST(Parse, first_fragment_has_ports_and_later_ones_have_none) {
  const Parsed first = parse_copy(ipv4(17, l4(8), 0, 0x2000));
  EXPECT_EQ(class_of(first), PacketClass::ipv4_udp);
  EXPECT_EQ(first.key.nw_frag, kFragAny);
  EXPECT_NE(first.key.tp_src_be, 0);
  for (const auto fragment : std::initializer_list<std::uint16_t>{0x0001, 0x1000, 0x2001, 0x1fff, 0x3fff}) {
    const Parsed later = parse_copy(ipv4(17, l4(8), 0, fragment));
    EXPECT_EQ(class_of(later), PacketClass::ipv4_fragment);
    EXPECT_EQ(later.key.nw_frag, kFragAny | kFragLater);
    EXPECT_EQ(later.key.nw_proto, 17);
    expect_no_ports(later);
  }
  for (const auto flags : std::initializer_list<std::uint16_t>{0x4000, 0x8000, 0xc000}) {
    EXPECT_EQ(parse_copy(ipv4(17, l4(8), 0, flags)).key.nw_frag, 0);
  }
}

TEST(Parse, first_fragment_that_leaves_headers_to_the_next_is_dropped) {
  EXPECT_EQ(parse_copy(ipv4(6, l4(8), 0, 0x2000)).dropped, DropReason::rx_headers_too_long);
  EXPECT_EQ(parse_copy(ipv6(44, Bytes{6, 0, 0, 1, 0, 0, 0, 0} + l4(8))).dropped, DropReason::rx_headers_too_long);
  // The next header is an extension of 16 bytes, of which 8 are here; or none is.
  const Bytes fragment{60, 0, 0, 1, 0, 0, 0, 0};
  EXPECT_EQ(parse_copy(ipv6(44, fragment + Bytes{6, 1, 0, 0, 0, 0, 0, 0})).dropped, DropReason::rx_headers_too_long);
  EXPECT_EQ(parse_copy(ipv6(44, fragment)).dropped, DropReason::rx_headers_too_long);
}

TEST(Parse, fragment_header_of_a_whole_packet_makes_no_fragment) {
  const Parsed atomic = parse_copy(ipv6(44, Bytes{17, 0, 0, 6, 0, 0, 0, 0} + l4(8)));  // reserved bits set
  EXPECT_EQ(class_of(atomic), PacketClass::ipv6_udp);
  EXPECT_EQ(atomic.key.nw_frag, 0);
  const Parsed later = parse_copy(ipv6(44, Bytes{60, 0, 0, 8, 0, 0, 0, 0} + l4(8)));
  EXPECT_EQ(class_of(later), PacketClass::ipv6_fragment);
  EXPECT_EQ(later.key.nw_proto, 60);
}

TEST(Parse, extension_header_that_is_cut_off_is_the_protocol) {
  for (const auto header : std::initializer_list<std::uint8_t>{0, 43, 44, 51, 60, 135}) {
    const Parsed none = parse_copy(ipv6(header, {17, 0, 0, 0}));
    EXPECT_EQ(class_of(none), PacketClass::ipv6_other);
    EXPECT_EQ(none.key.nw_proto, header);
    if (header == 44) continue;
    const Parsed half = parse_copy(ipv6(header, Bytes{17, 4, 0, 0, 0, 0, 0, 0} + l4(8)) + filled(40));
    EXPECT_EQ(class_of(half), PacketClass::ipv6_other);
    EXPECT_EQ(half.key.nw_proto, header);
    expect_no_ports(half);
  }
}

TEST(Parse, mobility_header_is_walked) {
  const Parsed parsed = parse_copy(ipv6(135, Bytes{17, 0, 0, 0, 0, 0, 0, 0} + l4(8)));
  EXPECT_EQ(class_of(parsed), PacketClass::ipv6_udp);
}

TEST(Parse, headers_beyond_what_is_looked_at_are_dropped_whatever_the_head_is) {
  Bytes chain;
  for (int i = 0; i < 17; ++i) chain = chain + Bytes{60, 0, 0, 0, 0, 0, 0, 0};
  const Bytes last{17, 0, 0, 0, 0, 0, 0, 0};
  // 14 + 40 + 16 * 8 = 182 bytes and 8 of UDP are within kHeadSize; one extension header more is not.
  const Bytes fits = ipv6(60, Bytes(chain.begin(), chain.end() - 16) + last + l4(8));
  ASSERT_EQ(fits.size(), 190U);
  EXPECT_EQ(class_of(parse_copy(fits)), PacketClass::ipv6_udp);
  const Bytes longer = ipv6(60, Bytes(chain.begin(), chain.end() - 8) + last + l4(8));
  EXPECT_EQ(parse_copy(longer).dropped, DropReason::rx_headers_too_long);
  EXPECT_EQ(parse_copy(std::span(longer).first(ports::kHeadSize), longer.size()).dropped,
            DropReason::rx_headers_too_long);
}

TEST(Parse, frame_shorter_than_ethernet_is_a_runt) {
  for (std::size_t size = 0; size < 14; ++size) EXPECT_EQ(parse_copy(filled(size)).dropped, DropReason::rx_runt);
  EXPECT_FALSE(parse_copy(ethernet(0x9000)).dropped.has_value());
}

TEST(Parse, tag_that_is_cut_off_is_the_ethertype) {
  for (const auto tpid : std::initializer_list<std::uint16_t>{0x8100, 0x88a8}) {
    const TagKind kind = tpid == 0x8100 ? TagKind::dot1q : TagKind::dot1ad;
    for (std::size_t behind = 0; behind < 4; ++behind) {
      expect_other(parse_copy(ethernet(tpid) + Bytes(behind, 0x08)), tpid);
    }
    const Parsed tagged = parse_copy(ethernet(tpid) + Bytes{0xe1, 0x23, 0x90, 0x00});
    EXPECT_EQ(tagged.key.outer_tci_be, 0x23e1);
    EXPECT_EQ(tagged.key.ethertype_be, 0x0090);
    EXPECT_EQ(tagged.key.outer_tag(), kind);
    // Inner tag cut off, outer one read.
    const Parsed inner = parse_copy(ethernet(tpid) + Bytes{0xe1, 0x23, 0x81, 0x00, 1});
    EXPECT_EQ(inner.key.outer_tag(), kind);
    EXPECT_EQ(inner.key.inner_tag(), TagKind::none);
    EXPECT_EQ(inner.key.ethertype_be, 0x0081);
  }
}

TEST(Parse, third_tag_is_an_ethertype) {
  const Parsed parsed = parse_copy(ethernet(0x88a8) + Bytes{0, 1, 0x81, 0, 0, 2, 0x81, 0, 0, 3, 8, 0} + filled(40));
  EXPECT_EQ(class_of(parsed), PacketClass::other);
  EXPECT_EQ(parsed.key.outer_tag(), TagKind::dot1ad);
  EXPECT_EQ(parsed.key.inner_tag(), TagKind::dot1q);
  EXPECT_EQ(parsed.key.ethertype_be, 0x0081);
}

TEST(Parse, a_type_below_0x0600_is_a_length) {
  for (const auto length : std::initializer_list<std::uint16_t>{0x0000, 0x002e, 0x05ff})
    expect_other(parse_copy(ethernet(length) + filled(46)), 0x05ff);
  expect_other(parse_copy(ethernet(0x0600) + filled(46)), 0x0600);
}

TEST(Parse, other_arp_has_an_operation_and_no_addresses) {
  const Bytes addresses = filled(20, 7);
  const Parsed plain = parse_copy(ethernet(0x0806) + Bytes{0, 1, 8, 0, 6, 4, 0, 2} + addresses);
  EXPECT_EQ(class_of(plain), PacketClass::arp);
  EXPECT_EQ(plain.key.nw_proto, 2);
  EXPECT_EQ(plain.key.nw_src[12], 7);
  EXPECT_EQ(plain.l3_offset, kL3);
  for (const Bytes& fixed : {Bytes{0, 6, 8, 0, 6, 4, 0, 2}, Bytes{0, 1, 0x86, 0xdd, 6, 4, 0, 2},
                             Bytes{0, 1, 8, 0, 8, 4, 0, 2}, Bytes{0, 1, 8, 0, 6, 16, 0, 2}}) {
    const Parsed other = parse_copy(ethernet(0x0806) + fixed + addresses);
    EXPECT_EQ(class_of(other), PacketClass::arp);
    EXPECT_EQ(other.key.nw_proto, 2);
    EXPECT_EQ(other.key.nw_src[12] + other.key.nw_dst[12], 0);
  }
  const Bytes whole = ethernet(0x0806) + Bytes{0, 1, 8, 0, 6, 4, 0, 2} + addresses;
  for (std::size_t size = kL3; size < whole.size(); ++size) {
    expect_other(parse_copy(std::span(whole).first(size)), 0x0806);
  }
}

}  // namespace
}  // namespace sluice::datapath::test
