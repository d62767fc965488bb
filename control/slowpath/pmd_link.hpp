// PmdLink: what the slow path uses of a PMD; a narrow seam, so that tests can stand in for one. Outbox: the commands
// to it, of which none is ever lost. Slow-path thread.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "datapath/grace.hpp"
#include "datapath/pmd.hpp"
#include "datapath/upcall.hpp"
#include "datapath/view.hpp"
#include "flowtable/flow_table.hpp"

namespace sluice::control {

struct PmdLink {
  datapath::UpcallRing* upcalls;
  datapath::CommandRing* commands;
  const flowtable::FlowTable* table;
  const datapath::LoopCounter* loop;
  /// Publishes masks; returns those before.
  std::function<const datapath::MaskView*(const datapath::MaskView*)> publish_masks;
  rte_mempool* pool = nullptr;  ///< what frames to be injected are made in; null: none are
  /// Pmd::adopt().
  std::function<const flowtable::FlowEntry*(const flowtable::FlowKey&, const flowtable::Decision&)> adopt;
};

/// `pmd` outlives the link.
[[nodiscard]] PmdLink link_to(datapath::Pmd& pmd);

class Outbox {
 public:
  explicit Outbox(datapath::CommandRing& ring) : ring_(&ring) {}

  /// Sends a command together with others, at the latest with the next flush(). Order is kept.
  void send(const datapath::Command& command) {
    waiting_.push_back(command);
    if (waiting_.size() - first_ >= kTogether) flush();
  }
  /// Sends what waits, as far as there is room; true if something went.
  bool flush();

  /// How many commands the PMD has yet to take.
  [[nodiscard]] std::uint64_t backlog() const { return sent() - taken(); }
  /// True while commands wait here for room: no time to think of more work for this PMD.
  [[nodiscard]] bool congested() const { return waiting_.size() - first_ >= kTogether; }
  /// How many commands were ever given to send(), and how many of those the PMD has taken from the ring.
  [[nodiscard]] std::uint64_t sent() const { return pushed_ + waiting_.size() - first_; }
  [[nodiscard]] std::uint64_t taken() const { return pushed_ - ring_->size(); }

 private:
  /// Each time that the ring says it has more, its line goes from the PMD's core to ours and back.
  static constexpr std::size_t kTogether = 32;

  datapath::CommandRing* ring_;
  std::vector<datapath::Command> waiting_;  ///< from first_ on
  std::size_t first_ = 0;
  std::uint64_t pushed_ = 0;
};

}  // namespace sluice::control
