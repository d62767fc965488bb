#include "control/slowpath/vlan.hpp"

#include <algorithm>

namespace sluice::control {
namespace {

bool leaves_untagged(const VlanConfig& port, std::uint16_t vlan) {
  return port.mode != VlanConfig::Mode::trunk || port.native == vlan;
}

}  // namespace

bool carries(const VlanConfig& port, std::uint16_t vlan) {
  if (port.mode != VlanConfig::Mode::trunk) return port.tag == vlan;
  if (port.native == vlan) return true;
  if (port.native && vlan == 0) return false;
  return port.trunks.empty() || std::binary_search(port.trunks.begin(), port.trunks.end(), vlan);
}

std::string why_refused(const VlanConfig& port, const Tag& outer) {
  if (outer.kind == flowtable::TagKind::none || outer.vid() == 0) return "carries no untagged frames";
  if (port.mode == VlanConfig::Mode::access) return "is an access port, which takes no tagged frames";
  return "does not carry VLAN " + std::to_string(outer.vid());
}

bool reads_tags(const VlanConfig& port) { return port.mode != VlanConfig::Mode::dot1q_tunnel; }

bool refuses_some(const VlanConfig& port) {
  return port.mode == VlanConfig::Mode::access || (port.mode == VlanConfig::Mode::trunk && !port.trunks.empty());
}

TagEdit egress_edit(const VlanConfig& port, const Admission& frame) {
  if (leaves_untagged(port, frame.vlan)) return frame.framing == Framing::untagged ? TagEdit::none : TagEdit::pop;
  // VLAN 0 has no tag to be given: as it came is right.
  if (frame.vlan == 0) return TagEdit::none;
  switch (frame.framing) {
    case Framing::untagged: return TagEdit::push;
    case Framing::priority: return TagEdit::retag;
    case Framing::tagged: return TagEdit::none;
  }
  return TagEdit::none;
}

}  // namespace sluice::control
