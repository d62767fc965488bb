// ethertype: the ethertypes that rules have words for (IEEE 802 numbers), in host order.
#pragma once

#include <cstdint>

namespace sluice::control {

inline constexpr std::uint16_t kIpv4 = 0x0800;
inline constexpr std::uint16_t kArp = 0x0806;
inline constexpr std::uint16_t kIpv6 = 0x86dd;
/// FlowKey's and OVS's value for a frame whose ethertype field is a length (IEEE 802.3).
inline constexpr std::uint16_t kNoEthertype = 0x05ff;

inline constexpr std::uint16_t kDot1q = 0x8100;
inline constexpr std::uint16_t kDot1ad = 0x88a8;

/// vlan_tci in a match: the bit that says "there is a tag", in the place of the DEI (as OVS has it).
inline constexpr std::uint16_t kTagPresent = 0x1000;

}  // namespace sluice::control
