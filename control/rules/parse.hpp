// parse: rules and packets, from text. The syntax is that of ovs-ofctl flows (ovs-fields(7), ovs-actions(7)); it is
// stricter where OVS silently ignores what an operator wrote: a field without its prerequisite, a field given twice,
// protocols that contradict each other.
//
// Errors read "column 23: tp_dst needs tcp, udp or sctp (or tcp6, udp6, sctp6) in the match"; callers put in front
// where the text came from.
#pragma once

#include <cstddef>
#include <string_view>

#include "control/error.hpp"
#include "control/rules/port_names.hpp"
#include "control/rules/rule.hpp"
#include "flowtable/flow_key.hpp"

namespace sluice::control {

inline constexpr std::size_t kMaxRuleLength = 4096;  ///< characters
inline constexpr std::size_t kMaxRuleActions = 64;

/// "priority=100,in_port=vm1,tcp,tp_dst=22,actions=drop". Total: any bytes in. The rule's text is canonical, its id 0.
[[nodiscard]] Expected<Rule> parse_rule(std::string_view text, const PortNames& ports);

/// "priority=100,in_port=vm1,tcp,tp_dst=22": what names a rule to be deleted; "actions=…" may follow and is checked,
/// but says nothing. A Rule without actions and without text.
[[nodiscard]] Expected<Rule> parse_rule_match(std::string_view text, const PortNames& ports);

/// "in_port=vm1,tcp,nw_src=10.0.0.1": a whole packet, whose other fields are zero, with its class. No masks; in_port
/// must be given. Without an ethertype it is an IEEE 802.3 frame (0x05ff); dl_vlan makes an 802.1Q tag.
[[nodiscard]] Expected<flowtable::FlowKey> parse_packet(std::string_view text, const PortNames& ports);

}  // namespace sluice::control
