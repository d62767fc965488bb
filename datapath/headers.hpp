// Headers: where, in a frame that parse() has seen, the fields are that actions and segmentation change. It believes
// parse for the offsets and looks for itself at what else it needs; every offset in it is inside of the head.
#pragma once

#include <cstdint>

#include "ports/frame.hpp"

namespace sluice::datapath {

/// IP protocol numbers (IANA).
namespace protocol {
inline constexpr std::uint8_t kIcmp = 1;
inline constexpr std::uint8_t kTcp = 6;
inline constexpr std::uint8_t kUdp = 17;
inline constexpr std::uint8_t kIcmp6 = 58;
inline constexpr std::uint8_t kSctp = 132;
}  // namespace protocol

struct Headers {
  enum class Network : std::uint8_t { none, arp, ipv4, ipv6 };
  Network network = Network::none;
  bool fragment = false;       ///< any fragment
  bool source_routed = false;  ///< IPv6: the final destination is in a routing header, not in the address field
  std::uint8_t transport = 0;  ///< protocol number; 0 unless one of the above with its header whole
  std::uint32_t l3 = 0;        ///< offset of the network header
  std::uint32_t l4 = 0;        ///< offset of the transport header
  std::uint32_t l4_size = 0;   ///< of transport header and payload, by the IP header; at most to the frame's end
  std::uint32_t checksum = 0;  ///< offset of the transport checksum
  bool partial = false;        ///< a guest left that one to be completed
};

[[nodiscard]] Headers find_headers(const ports::Frame& frame);

}  // namespace sluice::datapath
