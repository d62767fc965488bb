#include "datapath/execute.hpp"

#include <array>
#include <optional>
#include <span>

#include "datapath/rewrite.hpp"

namespace sluice::datapath {

namespace {

using flowtable::Action;
using flowtable::ActionKind;
using ports::DropReason;

constexpr std::array<std::uint8_t, 2> kDot1q{0x81, 0x00};
constexpr std::uint16_t kVidBits = 0x0fff;
constexpr std::uint16_t kPcpBits = 0xe000;

/// Carries out every action but output and drop. What stops the list is returned.
std::optional<DropReason> rewrite(ports::Frame& frame, const Action& action, int& pushed_tags) {
  const std::span bytes(action.bytes);
  const auto push = [&](std::array<std::uint8_t, 2> tpid, std::uint16_t tci) -> std::optional<DropReason> {
    if (pushed_tags == kMaxPushedTags) return DropReason::rx_headers_too_long;
    ++pushed_tags;
    push_vlan(frame, tpid, tci);
    return std::nullopt;
  };
  const auto set_tag = [&](std::uint16_t bits, std::uint16_t mask) -> std::optional<DropReason> {
    if (!has_vlan(frame)) return push(kDot1q, bits);
    set_vlan_bits(frame, bits, mask);
    return std::nullopt;
  };
  switch (action.kind) {
    case ActionKind::output:
    case ActionKind::drop: break;
    case ActionKind::push_vlan: return push({action.bytes[0], action.bytes[1]}, action.value);
    case ActionKind::pop_vlan: pushed_tags -= pop_vlan(frame) ? 1 : 0; break;
    case ActionKind::set_vlan_vid: return set_tag(action.value & kVidBits, kVidBits);
    case ActionKind::set_vlan_pcp: return set_tag(static_cast<std::uint16_t>(action.value << 13U), kPcpBits);
    case ActionKind::set_dl_src: set_dl_address(frame, Side::source, bytes.first<6>()); break;
    case ActionKind::set_dl_dst: set_dl_address(frame, Side::destination, bytes.first<6>()); break;
    case ActionKind::set_nw_src: set_ipv4_address(frame, Side::source, bytes.first<4>()); break;
    case ActionKind::set_nw_dst: set_ipv4_address(frame, Side::destination, bytes.first<4>()); break;
    case ActionKind::set_ipv6_src: set_ipv6_address(frame, Side::source, bytes); break;
    case ActionKind::set_ipv6_dst: set_ipv6_address(frame, Side::destination, bytes); break;
    case ActionKind::set_nw_tos: set_dscp(frame, static_cast<std::uint8_t>(action.value)); break;
    case ActionKind::set_tp_src: set_transport(frame, Side::source, action.value); break;
    case ActionKind::set_tp_dst: set_transport(frame, Side::destination, action.value); break;
    case ActionKind::dec_ttl:
      if (!decrement_ttl(frame)) return DropReason::ttl_expired;
      break;
  }
  return std::nullopt;
}

}  // namespace

void execute_list(ports::Frame& frame, const flowtable::ActionList& list, std::uint32_t flow_hash, Egress& egress,
                  ports::PortCounters& in_counters) {
  // One output is held while the list is carried out, so that no transmit takes the mbuf before the end.
  ports::Frame* current = &frame;
  frame.outputs = 1;
  unsigned outputs = 0;
  int pushed_tags = 0;
  bool stopped = false;
  DropReason reason = DropReason::rule_no_output;

  for (const Action& action : list.actions()) {
    if (action.kind == ActionKind::output) {
      egress.output({&current, 1}, action.value, flow_hash, in_counters);
      ++outputs;
    } else if (action.kind == ActionKind::drop) {
      reason = static_cast<DropReason>(action.value);
      break;
    } else {
      current = &egress.writable(*current);
      if (const auto stop = rewrite(*current, action, pushed_tags)) {
        reason = *stop;
        stopped = true;
        break;
      }
    }
  }
  // A frame that was copied keeps the output that was held: the copy's rest may be in its mbuf.
  --current->outputs;

  // A list that was stopped after an output is one more way for the frame to go, which ends in a drop.
  const unsigned ways = outputs + (outputs == 0 || stopped ? 1U : 0U);
  if (ways > outputs) in_counters.drop(reason);
  if (ways > 1) in_counters.copies.add(ways - 1);
}

}  // namespace sluice::datapath
