// Rule: one line of `rules:`, parsed. The syntax is that of ovs-ofctl flows; parse.hpp reads it, format.hpp writes it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "flowtable/action.hpp"
#include "flowtable/flow_key.hpp"

namespace sluice::control {

/// What a rule asks for. Either something that only the slow path can turn into actions, or an action itself.
struct RuleAction {
  enum class Kind : std::uint8_t {
    normal,   ///< the learning bridge decides
    flood,    ///< to every port but the in-port, as it is, whatever their VLANs
    in_port,  ///< back to where it came from
    edit,     ///< `action`: output to a port, or a change of the packet
  };
  Kind kind;
  flowtable::Action action{};  ///< edit only

  bool operator==(const RuleAction&) const = default;
};

struct Rule {
  std::uint16_t priority = 32768;   ///< the highest that matches wins; of equals, the one added first
  flowtable::FlowKey value{};       ///< a packet matches if (key & mask) == value
  flowtable::FlowKey mask{};        ///< packet_class and mask_generation always zero
  std::vector<RuleAction> actions;  ///< empty: drop
  std::string text;                 ///< canonical, as `show rules` prints it
  std::uint64_t id = 0;             ///< given by the rule table; never used twice
};

[[nodiscard]] inline bool matches(const Rule& rule, const flowtable::FlowKey& key) {
  return flowtable::masked(key, rule.mask) == rule.value;
}

/// Whether a rule matches on a port or sends to it.
[[nodiscard]] bool names_port(const Rule& rule, flowtable::PortId port);

}  // namespace sluice::control
