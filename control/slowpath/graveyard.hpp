// Graveyard: what PMDs may still be using, kept until they cannot. Slow-path thread.
//
// What is buried in a round becomes one batch when the round ends. A batch waits first until each PMD has taken all
// commands that were sent by then (an install or remove among them may be what takes the last pointer away), then
// until each has finished the loop that it is in.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "control/slowpath/dependency_index.hpp"
#include "control/slowpath/flow_ref.hpp"
#include "control/slowpath/pmd_link.hpp"

namespace sluice::control {

/// Whether PMDs have carried out all the commands that they had been sent by some time, and finished the loop in which
/// they did.
class Carried {
 public:
  /// By now.
  explicit Carried(std::span<const Outbox> outboxes);
  [[nodiscard]] bool out(std::span<const PmdLink> pmds, std::span<const Outbox> outboxes);

 private:
  std::vector<std::uint64_t> sent_;    ///< by PMD
  std::vector<std::uint64_t> tokens_;  ///< by PMD; empty until all that was sent is taken
};

class Graveyard {
 public:
  Graveyard(std::span<const PmdLink> pmds, std::span<const Outbox> outboxes) : pmds_(pmds), outboxes_(outboxes) {}

  void bury(std::unique_ptr<const flowtable::ActionList> list);
  void bury(std::unique_ptr<const datapath::MaskView> view) { now_.views.push_back(std::move(view)); }
  /// The decision's number may be used again when collect() returns it.
  void bury(DecisionId decision) { now_.numbers.decisions.push_back(decision); }
  /// The flow's entry is erased when collect() returns it.
  void bury(FlowRef flow) { now_.numbers.flows.push_back(flow); }

  struct Numbers {
    std::vector<DecisionId> decisions;
    std::vector<FlowRef> flows;

    [[nodiscard]] bool empty() const { return decisions.empty() && flows.empty(); }
  };

  void end_round();
  /// Frees what nobody uses any more, and returns the numbers among it.
  [[nodiscard]] Numbers collect();
  /// The number of the batch that is being filled, and whether a batch and all before it are freed.
  [[nodiscard]] std::uint64_t batch() const { return closed_; }
  [[nodiscard]] bool freed(std::uint64_t batch) const { return collected_ > batch || empty(); }
  [[nodiscard]] bool empty() const { return batches_.empty() && now_.empty(); }

 private:
  struct Batch {
    std::vector<std::unique_ptr<const flowtable::ActionList>> lists;
    std::vector<std::unique_ptr<const datapath::MaskView>> views;
    Numbers numbers;
    std::optional<Carried> sent;  ///< none while it is being filled

    [[nodiscard]] bool empty() const { return lists.empty() && views.empty() && numbers.empty(); }
  };

  std::span<const PmdLink> pmds_;
  std::span<const Outbox> outboxes_;
  Batch now_;
  std::deque<Batch> batches_;
  std::uint64_t closed_ = 0;
  std::uint64_t collected_ = 0;
};

/// Tokens of all PMDs for what was exchanged before.
[[nodiscard]] std::vector<std::uint64_t> grace_tokens(std::span<const PmdLink> pmds);
[[nodiscard]] bool grace_passed(std::span<const PmdLink> pmds, std::span<const std::uint64_t> tokens);

}  // namespace sluice::control
