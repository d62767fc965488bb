// Headers: what the bridge sees of a packet, kept true while a rule's actions change the packet.
#pragma once

#include <vector>

#include "control/slowpath/decision_inputs.hpp"
#include "control/slowpath/vlan.hpp"
#include "flowtable/action.hpp"

namespace sluice::control {

class Headers {
 public:
  explicit Headers(const DecisionInputs& inputs);

  /// What datapath/execute would do to these headers.
  void apply(const flowtable::Action& action);

  /// The outermost tag, of kind none if there is none.
  [[nodiscard]] Tag outer() const { return tags_.empty() ? Tag{} : tags_.back(); }

  flowtable::MacAddress dl_dst;
  flowtable::MacAddress dl_src;

 private:
  std::vector<Tag> tags_;  ///< the outermost last
};

/// Actions on tags.
[[nodiscard]] flowtable::Action push_tag(const Tag& tag);
[[nodiscard]] flowtable::Action pop_tag();
[[nodiscard]] flowtable::Action set_vid(std::uint16_t vid);

}  // namespace sluice::control
