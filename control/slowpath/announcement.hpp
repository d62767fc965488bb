// Announcement: a guest that has just arrived (by live migration) and does not say so itself. Other switches learn that
// it is here from a RARP request, as it would have sent it. Pure functions; slow-path thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "control/config/config.hpp"
#include "control/slowpath/fdb.hpp"
#include "flowtable/flow_key.hpp"

namespace sluice::control {

/// More VLANs than this are not announced in: one message of a front end must not become thousands of frames.
inline constexpr std::size_t kMaxAnnouncedVlans = 64;

/// The VLANs in which a station behind `port` is to be announced: that of untagged frames; and, of a trunk, all that it
/// lists, or if it lists none or too many, those in which the address has been heard, here or elsewhere. The VLAN of
/// untagged frames is the first, if there is one.
[[nodiscard]] std::vector<std::uint16_t> announced_vlans(const VlanConfig& port, const Fdb& fdb,
                                                         const flowtable::MacAddress& mac);

/// A RARP request (RFC 903) of a station for its own address, to all stations, 60 bytes; 64 with an 802.1Q tag. What
/// QEMU and the kernel send for the same purpose.
[[nodiscard]] std::vector<std::uint8_t> rarp_frame(const flowtable::MacAddress& mac, std::optional<std::uint16_t> tag);

}  // namespace sluice::control
