// Recheck: gives flows that are there other decisions, one by one. Slow-path thread.
//
// A change that alters the mask of a port and class has put all of its flows out of reach: they are removed, and
// their packets come up again. Where the mask stays, the flows that the changed rules match (or decided) are looked
// up again and given their new decisions in place. No other flow is touched. One pass over the records does both, a
// part of it each round; changes that come meanwhile have the pass go around once more from where it is. Flows of
// decisions that were superseded meanwhile (see FlowSet::begin_round) are looked up again as well.
#pragma once

#include <cstdint>
#include <optional>
#include <unordered_set>
#include <vector>

#include "control/slowpath/flow_set.hpp"
#include "control/slowpath/flow_walk.hpp"
#include "control/slowpath/mask_book.hpp"

namespace sluice::control {

class Recheck {
 public:
  Recheck(FlowSet& flows, const MaskBook& masks, std::span<const PmdLink> pmds)
      : flows_(flows), masks_(masks), pmds_(pmds), walk_(flows.records(), pmds.size()) {}

  void rule_added(const Rule& rule);
  void rule_gone(std::uint64_t id);
  /// To be called after the new masks were published.
  void masks_published();

  [[nodiscard]] bool pending() const { return left_ != 0; }
  /// Whether all changes so far are in force: every flow was looked at, and PMDs follow what came of it.
  [[nodiscard]] bool carried_out();
  /// Looks at `places` records, and as many superseded flows; false if there was nothing to do.
  bool run(std::size_t places, std::uint64_t now_ns);

 private:
  struct Match {
    flowtable::FlowKey value;
    flowtable::FlowKey mask;
  };
  [[nodiscard]] bool suspicious(FlowRef flow) const;
  void start();
  void look_at(FlowRef flow, std::uint64_t now_ns);

  FlowSet& flows_;
  const MaskBook& masks_;
  std::span<const PmdLink> pmds_;
  FlowWalk walk_;
  std::size_t left_ = 0;               ///< records still to be looked at
  std::size_t length_ = 0;             ///< of the walk's round, when left_ was counted
  std::optional<Carried> sent_;        ///< by the last pass, until PMDs have carried it out
  std::vector<std::uint64_t> tokens_;  ///< the masks are in use by all PMDs when these have passed
  std::vector<Match> added_;
  std::unordered_set<std::uint64_t> gone_;
};

}  // namespace sluice::control
