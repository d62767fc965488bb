// class_mask: which fields the rules could consult for the packets of one class from one port.
//
// This is what makes one lookup enough (see FlowKey's ClassMask). The law: of two packets of the same class from the
// same port whose masked keys are equal, the same rule wins for both.
#pragma once

#include "control/rules/rule.hpp"
#include "control/rules/rule_table.hpp"
#include "flowtable/flow_key.hpp"

namespace sluice::control {

/// True if some packet of this class from this port matches the rule: neither the port nor what the class fixes
/// (ethertype, protocol, being a fragment, having no ports) speaks against it.
[[nodiscard]] bool could_match(const Rule& rule, flowtable::PacketClass c, flowtable::PortId in_port);

/// `base`, what port and bridge consult, and the fields of every rule that could match such a packet and is not hidden
/// behind one that matches them all. in_port, packet_class and mask_generation are all ones. Actions add nothing:
/// what an edit does to a packet depends on its class alone.
[[nodiscard]] flowtable::FlowKey class_mask(flowtable::PacketClass c, flowtable::PortId in_port, const RuleTable& table,
                                            const flowtable::FlowKey& base);

}  // namespace sluice::control
