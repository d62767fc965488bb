// Pipeline: from a packet's key to a decision. Port rules ► rules ► bridge, in this order:
//
//   1. The in-port's VLAN setting admits the frame or drops it.
//   2. The rule of the highest priority that matches says what to do; no rule says `normal`.
//   3. `normal` is the bridge, which sees the packet as the rule's actions before it have made it. So a rule that sets
//      another VID has the frame bridged in that VLAN, if the in-port carries it too.
// `output`, `flood` and `in_port` of a rule are OpenFlow's: the frame as it is, whatever the ports' VLANs. As in
// OpenFlow, `output` to the in-port does nothing.
//
// A pure function in two halves, and nothing else decides anything: inputs() reads the key and names the rule,
// decide() makes the decision of that alone. `sluice trace` is the same code with a Trace to write to.
//
// Slow-path thread; refers to the tables it was given and changes none.
#pragma once

#include "control/slowpath/bridge.hpp"
#include "control/slowpath/decision_inputs.hpp"
#include "control/slowpath/outcome.hpp"
#include "control/slowpath/rule_book.hpp"

namespace sluice::control {

class Pipeline {
 public:
  Pipeline(const PortTable& ports, const RuleBook& rules, const Fdb& fdb, bool flood_unknown);

  /// `key.in_port` is in the port table. Reads no field of `key` that is not in the mask of its port and class.
  [[nodiscard]] DecisionInputs inputs(const flowtable::FlowKey& key, Trace* trace = nullptr) const;
  [[nodiscard]] Outcome decide(const DecisionInputs& inputs, Trace* trace = nullptr) const;
  [[nodiscard]] Outcome decide(const flowtable::FlowKey& key, Trace* trace = nullptr) const {
    return decide(inputs(key, trace), trace);
  }

  /// The mask of a port and class: all that inputs() could read of such a packet, rules included. in_port,
  /// packet_class and mask_generation are all ones.
  [[nodiscard]] flowtable::FlowKey mask(flowtable::PortId port, flowtable::PacketClass packet_class) const;

 private:
  std::optional<ports::DropReason> carry_out(const Rule& rule, flowtable::PortId in_port, Headers& headers,
                                             Outcome& outcome, Trace* trace) const;
  void flood(flowtable::PortId in_port, Outcome& outcome) const;

  const PortTable& ports_;
  const RuleBook& rules_;
  BridgeState bridge_;
};

}  // namespace sluice::control
