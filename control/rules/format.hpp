// format: rules, keys and actions as an OVS operator reads them. The other direction is parse.hpp.
#pragma once

#include <string>

#include "control/rules/port_names.hpp"
#include "control/rules/rule.hpp"
#include "flowtable/action.hpp"
#include "flowtable/flow_key.hpp"

namespace sluice::control {

/// Canonical: "priority=100,tcp,in_port=vm1,tp_dst=22 actions=drop", as ovs-ofctl dump-flows has it; the default
/// priority is left out. parse_rule() gives the same priority, match and actions again, for every rule that it can
/// give at all. Does not read `text` and `id`.
[[nodiscard]] std::string format_rule(const Rule& rule, const PortNames& ports);

/// The fields of `key` that `mask` asks for: "tcp,in_port=vm1,nw_src=10.0.0.0/24,tp_dst=22". The first word is from
/// the key's packet class, whatever the mask is.
[[nodiscard]] std::string format_key(const flowtable::FlowKey& key, const flowtable::FlowKey& mask,
                                     const PortNames& ports);

/// "mod_nw_src:10.0.0.1,output:vm2"; "drop (rule)" with the name of the drop reason.
[[nodiscard]] std::string format_actions(const flowtable::ActionList& actions, const PortNames& ports);

}  // namespace sluice::control
