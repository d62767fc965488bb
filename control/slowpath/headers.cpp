#include "control/slowpath/headers.hpp"

#include <algorithm>

#include "control/rules/ethertype.hpp"

namespace sluice::control {

using flowtable::Action;
using flowtable::ActionKind;
using flowtable::TagKind;

Headers::Headers(const DecisionInputs& inputs) : dl_dst(inputs.dl_dst), dl_src(inputs.dl_src) {
  const Tag outer{static_cast<TagKind>(inputs.tag_kinds & 0x0fU), inputs.outer_tci};
  const Tag inner{static_cast<TagKind>(inputs.tag_kinds >> 4U), inputs.inner_tci};
  if (inner.kind != TagKind::none) tags_.push_back(inner);
  if (outer.kind != TagKind::none) tags_.push_back(outer);
}

void Headers::apply(const Action& action) {
  switch (action.kind) {
    case ActionKind::push_vlan: {
      const bool service = (action.bytes[0] << 8U | action.bytes[1]) == kDot1ad;
      tags_.push_back({service ? TagKind::dot1ad : TagKind::dot1q, action.value});
      return;
    }
    case ActionKind::pop_vlan:
      if (!tags_.empty()) tags_.pop_back();
      return;
    case ActionKind::set_vlan_vid:
      if (tags_.empty()) tags_.push_back({TagKind::dot1q, 0});
      tags_.back().tci = static_cast<std::uint16_t>((tags_.back().tci & 0xf000U) | (action.value & 0x0fffU));
      return;
    case ActionKind::set_vlan_pcp:
      if (tags_.empty()) tags_.push_back({TagKind::dot1q, 0});
      tags_.back().tci = static_cast<std::uint16_t>((tags_.back().tci & 0x1fffU) | (action.value & 7U) << 13U);
      return;
    case ActionKind::set_dl_src: std::copy_n(action.bytes.begin(), 6, dl_src.bytes.begin()); return;
    case ActionKind::set_dl_dst: std::copy_n(action.bytes.begin(), 6, dl_dst.bytes.begin()); return;
    case ActionKind::output:
    case ActionKind::drop:
    case ActionKind::set_nw_src:
    case ActionKind::set_nw_dst:
    case ActionKind::set_ipv6_src:
    case ActionKind::set_ipv6_dst:
    case ActionKind::set_nw_tos:
    case ActionKind::set_tp_src:
    case ActionKind::set_tp_dst:
    case ActionKind::dec_ttl: return;
  }
}

Action push_tag(const Tag& tag) {
  Action action{.kind = ActionKind::push_vlan, .value = tag.tci};
  const std::uint16_t tpid = tag.kind == TagKind::dot1ad ? kDot1ad : kDot1q;
  action.bytes[0] = static_cast<std::uint8_t>(tpid >> 8U);
  action.bytes[1] = static_cast<std::uint8_t>(tpid);
  return action;
}

Action pop_tag() { return {.kind = ActionKind::pop_vlan}; }

Action set_vid(std::uint16_t vid) { return {.kind = ActionKind::set_vlan_vid, .value = vid}; }

}  // namespace sluice::control
