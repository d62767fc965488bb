// Sweep: what time does to flows. Idle ones go, busy ones keep their sources alive in the FDB, and when a table gets
// full the coldest go. Slow-path thread.
//
// All flows are visited about once a second, a batch at a time, however many there are.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "control/slowpath/flow_set.hpp"
#include "control/slowpath/flow_walk.hpp"

namespace sluice::control {

class Sweep {
 public:
  struct Options {
    std::uint64_t idle_timeout_ns;
    std::size_t flow_limit;  ///< of each PMD
  };
  /// What a PMD's table should hold for `flow_limit` flows and some that are on their way out; as much as a table can
  /// hold, if that is less.
  [[nodiscard]] static std::size_t capacity_for(std::size_t flow_limit);
  Sweep(FlowSet& flows, std::span<const PmdLink> pmds, const Options& options);

  /// Nothing is due before `now_ns`. Without it, all flows are, once, from the beginning of time.
  void begin(std::uint64_t now_ns) { next_ns_ = now_ns; }
  /// The batches that are due. True if a flow went.
  bool run(std::uint64_t now_ns);
  /// When the next batch is due; nothing while there are no flows.
  [[nodiscard]] std::optional<std::uint64_t> due_ns() const;

  /// Makes room for what waits to be installed: removes the coldest of a sample of the table's flows (of all of them,
  /// in a small table). True if a flow went.
  bool make_room(std::size_t pmd, std::size_t waiting, std::uint64_t now_ns);
  /// How many flows a PMD may have: the limit, and somewhat fewer than its table holds, so that new flows find
  /// room while the coldest are on their way out.
  [[nodiscard]] std::size_t allowed(std::size_t pmd) const { return allowed_[pmd]; }

 private:
  struct Candidate {
    std::uint64_t idle_ns;
    FlowRef flow;
  };
  std::size_t remove_coldest(std::size_t pmd, std::size_t most, std::uint64_t now_ns);

  FlowSet& flows_;
  Options options_;
  FlowWalk walk_;
  std::vector<std::size_t> allowed_;  ///< by PMD
  std::vector<std::size_t> offset_;   ///< by PMD: where the next sample starts
  std::vector<Candidate> sample_;
  std::uint64_t next_ns_ = 0;
};

}  // namespace sluice::control
