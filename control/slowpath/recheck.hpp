// Recheck: gives flows that are there other decisions, one by one. Slow-path thread.
//
// A change that alters the mask of a port and class puts all of its flows out of reach as soon as PMDs use the new one:
// their packets come up again. Where the mask stays, the flows that the changed rules match (or decided) are looked up
// again and given their new decisions in place. No other flow is touched. A pass over the records, a part of it each
// round, finds them; changes that come meanwhile have it go around once more from where it is. Flows of decisions that
// were superseded meanwhile (see FlowSet::begin_round) are looked up again as well. A second pass removes what is out
// of reach, more slowly: nobody waits for that.
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
      : flows_(flows),
        masks_(masks),
        pmds_(pmds),
        look_up_(flows.records(), pmds.size()),
        remove_(flows.records(), pmds.size()) {}

  void rule_added(const Rule& rule);
  void rule_gone(std::uint64_t id);
  /// To be called after the new masks were published.
  void masks_published();

  [[nodiscard]] bool pending() const { return look_up_.left() != 0 || remove_.left() != 0; }
  /// Whether all changes so far are in force: every flow that a packet can reach was looked at, and PMDs follow what
  /// came of it.
  [[nodiscard]] bool carried_out();
  /// Looks at `places` records in each pass, and as many superseded flows; false if there was nothing to do.
  bool run(std::size_t places, std::uint64_t now_ns);

 private:
  struct Match {
    flowtable::FlowKey value;
    flowtable::FlowKey mask;
  };
  [[nodiscard]] bool reachable(FlowRef flow) const;
  [[nodiscard]] bool suspicious(FlowRef flow) const;

  FlowSet& flows_;
  const MaskBook& masks_;
  std::span<const PmdLink> pmds_;
  FlowPass look_up_;                   ///< for flows that changed rules match
  FlowPass remove_;                    ///< for flows that are out of reach
  std::optional<Carried> sent_;        ///< by the last pass to look up, until PMDs have carried it out
  std::vector<std::uint64_t> tokens_;  ///< the masks are in use by all PMDs when these have passed
  std::vector<Match> added_;
  std::unordered_set<std::uint64_t> gone_;
};

}  // namespace sluice::control
