// decode: the header fields of a frame in words, for people who want to know in what two frames differ. Any bytes in;
// what is cut off ends the list. The switch's own parser is datapath/parse, which cares for less and is faster.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace sluice::control {

struct DecodedField {
  std::string name;   ///< "nw_ttl"
  std::string value;  ///< "63"

  bool operator==(const DecodedField&) const = default;
};

/// Ethernet, up to four VLAN tags, ARP, IPv4, IPv6 and the start of TCP, UDP, SCTP, ICMP, in the frame's order.
[[nodiscard]] std::vector<DecodedField> decode(std::span<const std::uint8_t> frame);

}  // namespace sluice::control
