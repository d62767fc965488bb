#include "control/replay/decode.hpp"

#include <arpa/inet.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace sluice::control {
namespace {

constexpr std::uint16_t kIpv4 = 0x0800;
constexpr std::uint16_t kArp = 0x0806;
constexpr std::uint16_t kIpv6 = 0x86dd;
constexpr std::uint16_t kCTag = 0x8100;
constexpr std::uint16_t kSTag = 0x88a8;
constexpr int kMaxTags = 4;

/// Takes fields off the front of a frame. Once one is cut off, nothing more is there.
class Fields {
 public:
  explicit Fields(std::span<const std::uint8_t> bytes) : left_(bytes) {}

  [[nodiscard]] bool has(std::size_t size) const { return left_.size() >= size; }
  [[nodiscard]] std::size_t size() const { return left_.size(); }
  std::span<const std::uint8_t> take(std::size_t size) {
    if (!has(size)) size = left_.size();
    const auto taken = left_.first(size);
    left_ = left_.subspan(size);
    return taken;
  }
  std::uint64_t number(std::size_t size) {
    std::uint64_t value = 0;
    for (const std::uint8_t byte : take(size)) value = value << 8U | byte;
    return value;
  }

  void add(std::string name, std::string value) { out_.push_back({std::move(name), std::move(value)}); }
  void add_number(const char* name, std::size_t size) { add(name, fmt::format("{}", number(size))); }
  void add_hex(const char* name, std::size_t size) {
    const auto value = number(size);
    add(name, fmt::format("0x{:0{}x}", value, size * 2));
  }
  void add_mac(const char* name) { add(name, fmt::format("{:02x}", fmt::join(take(6), ":"))); }
  void add_address(const char* name, int family) {
    const auto bytes = take(family == AF_INET ? 4 : 16);
    char text[INET6_ADDRSTRLEN] = "";
    inet_ntop(family, bytes.data(), text, sizeof text);
    add(name, text);
  }
  [[nodiscard]] std::vector<DecodedField> result() { return std::move(out_); }

 private:
  std::span<const std::uint8_t> left_;
  std::vector<DecodedField> out_;
};

void decode_l4(Fields& fields, unsigned protocol) {
  if (protocol == IPPROTO_TCP && fields.has(20)) {
    fields.add_number("tp_src", 2);
    fields.add_number("tp_dst", 2);
    fields.add_number("tcp_seq", 4);
    fields.add_number("tcp_ack", 4);
    fields.add_hex("tcp_offset_flags", 2);
    fields.add_number("tcp_window", 2);
    fields.add_hex("tcp_checksum", 2);
    fields.add_number("tcp_urgent", 2);
  } else if (protocol == IPPROTO_UDP && fields.has(8)) {
    fields.add_number("tp_src", 2);
    fields.add_number("tp_dst", 2);
    fields.add_number("udp_length", 2);
    fields.add_hex("udp_checksum", 2);
  } else if (protocol == IPPROTO_SCTP && fields.has(12)) {
    fields.add_number("tp_src", 2);
    fields.add_number("tp_dst", 2);
    fields.add_hex("sctp_tag", 4);
    fields.add_hex("sctp_checksum", 4);
  } else if ((protocol == IPPROTO_ICMP || protocol == IPPROTO_ICMPV6) && fields.has(4)) {
    fields.add_number("icmp_type", 1);
    fields.add_number("icmp_code", 1);
    fields.add_hex("icmp_checksum", 2);
  }
}

void decode_ipv4(Fields& fields) {
  if (!fields.has(20)) return;
  const auto version = static_cast<unsigned>(fields.number(1));
  fields.add("ip_version_ihl", fmt::format("0x{:02x}", version));
  fields.add_hex("nw_tos", 1);
  fields.add_number("ip_length", 2);
  fields.add_number("ip_id", 2);
  const auto fragment = static_cast<unsigned>(fields.number(2));
  fields.add("ip_frag", fmt::format("0x{:04x}", fragment));
  fields.add_number("nw_ttl", 1);
  const auto protocol = static_cast<unsigned>(fields.number(1));
  fields.add("nw_proto", fmt::format("{}", protocol));
  fields.add_hex("ip_checksum", 2);
  fields.add_address("nw_src", AF_INET);
  fields.add_address("nw_dst", AF_INET);
  const std::size_t header = std::size_t{version & 0x0fU} * 4;
  if (header < 20 || !fields.has(header - 20)) return;
  if (header > 20) fields.add("ip_options", fmt::format("{:02x}", fmt::join(fields.take(header - 20), "")));
  const bool later_fragment = (fragment & 0x1fffU) != 0;
  if (!later_fragment) decode_l4(fields, protocol);
}

void decode_ipv6(Fields& fields) {
  if (!fields.has(40)) return;
  const auto first = static_cast<std::uint32_t>(fields.number(4));
  fields.add("nw_tos", fmt::format("0x{:02x}", first >> 20U & 0xffU));
  fields.add("ipv6_label", fmt::format("0x{:05x}", first & 0xfffffU));
  fields.add_number("ip_length", 2);
  const auto protocol = static_cast<unsigned>(fields.number(1));
  fields.add("nw_proto", fmt::format("{}", protocol));
  fields.add_number("nw_ttl", 1);
  fields.add_address("ipv6_src", AF_INET6);
  fields.add_address("ipv6_dst", AF_INET6);
  decode_l4(fields, protocol);
}

void decode_arp(Fields& fields) {
  if (!fields.has(28)) return;
  fields.add_hex("arp_types", 6);
  fields.add_number("arp_op", 2);
  fields.add_mac("arp_sha");
  fields.add_address("arp_spa", AF_INET);
  fields.add_mac("arp_tha");
  fields.add_address("arp_tpa", AF_INET);
}

}  // namespace

std::vector<DecodedField> decode(std::span<const std::uint8_t> frame) {
  Fields fields(frame);
  if (!fields.has(14)) return {};
  fields.add_mac("dl_dst");
  fields.add_mac("dl_src");
  auto type = static_cast<std::uint16_t>(fields.number(2));
  for (int tag = 0; tag < kMaxTags && (type == kCTag || type == kSTag) && fields.has(4); ++tag) {
    const auto tci = static_cast<unsigned>(fields.number(2));
    fields.add(tag == 0 ? "outer tag" : "inner tag",
               fmt::format("{} VID {} PCP {}{}", type == kCTag ? "802.1Q" : "802.1ad", tci & 0xfffU, tci >> 13U,
                           (tci & 0x1000U) != 0 ? " DEI" : ""));
    type = static_cast<std::uint16_t>(fields.number(2));
  }
  fields.add("dl_type", fmt::format("0x{:04x}", type));
  if (type == kIpv4) decode_ipv4(fields);
  if (type == kIpv6) decode_ipv6(fields);
  if (type == kArp) decode_arp(fields);
  return fields.result();
}

}  // namespace sluice::control
