// Departures: ports that were removed, until nothing of them is left anywhere and their ids may be given away again.
//
// What can be left of a port: upcalls of it, on their way, and packets that wait for the answers; and decisions and
// lists of actions that name it. Upcalls of a port that is gone are answered with `remove`, but those from before may
// have been answered with `reclassify`, which makes new ones. So, one after the other:
//   1. each PMD has carried out what it was sent by the time the port was removed: no more upcalls of it are made;
//   2. all upcalls that had been made by then are answered;
//   3. each PMD has carried out those answers: no packet of the port waits;
//   4. flows are settled, and what they were before is freed.
// Slow-path thread.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "control/slowpath/flow_set.hpp"
#include "control/slowpath/upcall_queues.hpp"

namespace sluice::control {

class Departures {
 public:
  Departures(std::span<const PmdLink> pmds, const FlowSet& flows, const UpcallQueues& upcalls)
      : pmds_(pmds), flows_(flows), upcalls_(upcalls) {}

  /// A port is removed: no PMD polls it any more.
  void add(flowtable::PortId port);
  /// At the end of a round. `settled`: flows are as they are to be without the port.
  void run(bool settled);
  [[nodiscard]] bool contains(flowtable::PortId port) const;

 private:
  struct Leaving {
    flowtable::PortId port;
    Carried sent_before;
    std::vector<std::uint64_t> upcalls;  ///< by PMD: made when sent_before was carried out; empty until then
    std::optional<Carried> answers;
    std::optional<std::uint64_t> batch;  ///< of the graveyard, with the last that named the port
  };
  void advance(Leaving& port, bool settled);
  [[nodiscard]] bool answered(const Leaving& port) const;

  std::span<const PmdLink> pmds_;
  const FlowSet& flows_;
  const UpcallQueues& upcalls_;
  std::vector<Leaving> leaving_;
};

}  // namespace sluice::control
