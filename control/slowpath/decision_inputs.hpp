// DecisionInputs: all that a decision is made from, once the rules have been looked up. Packets of equal inputs share
// one decision, however many flows they are: this is what makes a MAC move under a million flows one store.
//
// DecisionKey is these bytes; what the winning rule and the port's setting do not read is zero.
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "flowtable/flow_key.hpp"

namespace sluice::control {

/// In place of a rule's id.
inline constexpr std::uint64_t kNoRule = 0;       ///< no rule matches: normal
inline constexpr std::uint64_t kRefused = ~0ULL;  ///< the in-port does not carry the frame's VLAN: rules are not asked

struct DecisionInputs {
  std::uint64_t rule;  ///< Rule::id, kNoRule or kRefused
  flowtable::PortId in_port;
  std::uint8_t tag_kinds;  ///< as in FlowKey
  std::uint8_t reserved0;
  std::uint16_t outer_tci;  ///< host order; the VID, and PCP and DEI if the rule reads on after `normal`
  std::uint16_t inner_tci;  ///< host order; if the rule takes a tag off and then says `normal`
  flowtable::MacAddress dl_dst;
  flowtable::MacAddress dl_src;
  std::uint32_t reserved1;

  friend bool operator==(const DecisionInputs& a, const DecisionInputs& b) {
    return std::memcmp(&a, &b, sizeof a) == 0;
  }
};
static_assert(sizeof(DecisionInputs) == 32 && std::has_unique_object_representations_v<DecisionInputs>);

}  // namespace sluice::control
