// FlowSet: all flows of all PMDs, kept true to what the pipeline says. Slow-path thread.
//
// Owns decisions, records and commands; the tables that decisions are made from belong to SlowPath.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "control/slowpath/flow_records.hpp"
#include "control/slowpath/graveyard.hpp"
#include "control/slowpath/pipeline.hpp"

namespace sluice::control {

class FlowSet {
 public:
  FlowSet(std::span<const PmdLink> pmds, const Pipeline& pipeline, RuleBook& rules, Fdb& fdb,
          std::uint64_t hash_secret);

  /// At the beginning of a round. `in_place`: every flow has been brought under the rules that decide it now, so that a
  /// decision may be made again under all of its flows at once. Otherwise some of them may be about to get another:
  /// what is new must not reach them by way of the rule that they had, and flows are moved one by one.
  void begin_round(bool in_place) { in_place_ = in_place; }
  /// Decides a new flow, learns its source, and answers its upcall.
  void install(FlowRef flow, const flowtable::FlowKey& key, std::uint64_t now_ns);
  /// Has a flow in the table before a packet of it comes: of a source that is known, since nothing is learnt. Before
  /// the PMD's first loop. `seen_ns`: its last packet. False if it cannot be.
  bool adopt(std::size_t pmd, const flowtable::FlowKey& masked_key, std::uint64_t seen_ns);
  /// Answers an upcall without a flow.
  void answer(FlowRef flow, datapath::Command::Kind kind);
  /// Has a flow erased. Its counts go to its rule, and its source is as old in the FDB as its last packet.
  void drop(FlowRef flow, std::uint64_t now_ns);
  /// Looks the rules up again for a flow; if another decides it now, its decision is exchanged in place (or the flow
  /// is dropped, if its source would have to be learnt, which takes a packet).
  void recheck(FlowRef flow, std::uint64_t now_ns);
  /// A flow whose decision is superseded, which recheck() gives the next; kNoFlow if there is none.
  [[nodiscard]] FlowRef next_superseded();
  /// Lets the FDB know that a flow's source was there.
  void keep_source_alive(FlowRef flow, std::uint64_t now_ns, std::uint64_t idle_ns);
  /// The last packet of any flow that has this source on `port`; 0 if there is none. Stops at the first that is
  /// younger than `enough_ns`.
  [[nodiscard]] std::uint64_t source_seen_ns(FdbKey source, flowtable::PortId port, std::uint64_t now_ns,
                                             std::uint64_t enough_ns) const;

  /// To be called after any change: notes who depended on it. What follows from it is done by settle().
  void fdb_changed();
  void port_changed(flowtable::PortId port, const BridgePort* before, const BridgePort* after);

  /// Makes decisions again and drops doomed flows, at most `work` of them; false if there was nothing to do.
  bool settle(std::size_t work, std::uint64_t now_ns);
  /// Sends what PMDs had no room for, and frees what they no longer use.
  bool flush();
  void end_round() { graveyard_.end_round(); }
  void bury(std::unique_ptr<const datapath::MaskView> view) { graveyard_.bury(std::move(view)); }

  /// Has the first PMD receive a frame from a port: control's own, which then goes the way of any other. Left out if
  /// the PMD is behind, or there is no memory.
  void inject(flowtable::PortId port, std::span<const std::uint8_t> frame);
  /// True while a PMD has yet to take commands that it was sent.
  [[nodiscard]] bool congested(std::size_t pmd) const { return outboxes_[pmd].congested(); }
  [[nodiscard]] const FlowRecords& records() const { return records_; }
  [[nodiscard]] const DecisionNode& decision(FlowRef flow) const {
    return decisions_.node(records_.record(flow).decision);
  }
  [[nodiscard]] std::size_t decisions() const { return decisions_.size(); }
  [[nodiscard]] bool settled() const;
  [[nodiscard]] const Graveyard& graveyard() const { return graveyard_; }
  [[nodiscard]] std::span<const Outbox> outboxes() const { return outboxes_; }

 private:
  [[nodiscard]] DecisionId decision_for(const DecisionInputs& inputs, flowtable::PortId port, std::uint64_t now_ns);
  /// What is read of packets of a flow.
  [[nodiscard]] DecisionInputs inputs_of(const flowtable::FlowKey& masked_key) const;
  /// Of a flow without a packet at hand, which teaches nothing: kNoDecision if its source is not known on the in-port.
  [[nodiscard]] DecisionId decision_of_known_source(const DecisionInputs& inputs);
  bool learn(const Outcome& outcome, flowtable::PortId port, std::uint64_t now_ns);
  /// The decision for these inputs, as it is to be now; kNoDecision if there is none.
  [[nodiscard]] DecisionId find_current(const DecisionInputs& inputs);
  void decide_again(DecisionId id);
  void refresh_sources(DecisionNode& node, std::uint64_t seen_ns);
  void send(FlowRef flow, datapath::Command::Kind kind, const flowtable::Decision* decision = nullptr);
  [[nodiscard]] std::size_t drop_doomed(std::size_t work, std::uint64_t now_ns);

  std::span<const PmdLink> pmds_;
  const Pipeline& pipeline_;
  RuleBook& rules_;
  Fdb& fdb_;
  std::vector<Outbox> outboxes_;
  Graveyard graveyard_;
  DecisionStore decisions_;
  FlowRecords records_;
  bool in_place_ = true;
};

}  // namespace sluice::control
