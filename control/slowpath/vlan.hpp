// vlan: what a port's VLAN setting says about a frame: which VLAN it is in when it comes, and what its tags must look
// like when it leaves. Pure functions (IEEE 802.1Q, 6.9 and 8.6).
//
// The outer tag, C-tag or S-tag, names the VLAN; VID 0 is a priority tag, which names none. Only the outer tag is
// the bridge's business: on a tunnel port none is, since all of a customer's tags are payload there.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "control/config/config.hpp"
#include "flowtable/flow_key.hpp"

namespace sluice::control {

/// A VLAN tag.
struct Tag {
  flowtable::TagKind kind = flowtable::TagKind::none;
  std::uint16_t tci = 0;  ///< host order; PCP, DEI, VID

  [[nodiscard]] std::uint16_t vid() const { return tci & 0x0fffU; }
  bool operator==(const Tag&) const = default;
};

/// What the outermost bytes of a frame are to the VLAN that it is in.
enum class Framing : std::uint8_t {
  untagged,  ///< no tag of the bridge's
  priority,  ///< a tag with VID 0
  tagged,    ///< a tag with the VLAN's number
};

struct Admission {
  std::uint16_t vlan;
  Framing framing;
};

/// Why admit() gives nothing, as a port's verb: "does not carry VLAN 10".
[[nodiscard]] std::string why_refused(const VlanConfig& port, const Tag& outer);
/// Whether frames of a VLAN may leave through a port. A port with a native VLAN does not carry VLAN 0 beside it: both
/// would be untagged there.
[[nodiscard]] bool carries(const VlanConfig& port, std::uint16_t vlan);
/// The VLAN of a frame with this outer tag that comes from a port; nothing if the port does not carry it. Inline: put
/// together in memory to be returned, it would be read back only once all earlier stores are done, and a million flows
/// that are looked up again have many under way.
[[nodiscard]] inline std::optional<Admission> admit(const VlanConfig& port, const Tag& outer) {
  if (port.mode == VlanConfig::Mode::dot1q_tunnel) return Admission{port.tag, Framing::untagged};
  const bool named = outer.kind != flowtable::TagKind::none && outer.vid() != 0;
  if (port.mode == VlanConfig::Mode::access && named) return std::nullopt;
  if (named) {
    if (!carries(port, outer.vid())) return std::nullopt;
    return Admission{outer.vid(), Framing::tagged};
  }
  const std::uint16_t vlan = port.mode == VlanConfig::Mode::access ? port.tag : port.native.value_or(0);
  if (!carries(port, vlan)) return std::nullopt;
  return Admission{vlan, outer.kind == flowtable::TagKind::none ? Framing::untagged : Framing::priority};
}
/// Whether admit() looks at the tag at all: not on tunnels, and not for dropping on a trunk of all VLANs.
[[nodiscard]] bool reads_tags(const VlanConfig& port);
[[nodiscard]] bool refuses_some(const VlanConfig& port);

/// What must be done to a frame before it leaves through a port.
enum class TagEdit : std::uint8_t {
  none,
  retag,  ///< the priority tag gets the VLAN's number
  push,
  pop,
};
/// `vlan` is carried by `port`.
[[nodiscard]] TagEdit egress_edit(const VlanConfig& port, const Admission& frame);

}  // namespace sluice::control
