// PmdLink: what the slow path uses of a PMD; a narrow seam, so that tests can stand in for one. Outbox: the commands
// to it, of which none is ever lost. Slow-path thread.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>

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
};

/// `pmd` outlives the link.
[[nodiscard]] PmdLink link_to(datapath::Pmd& pmd);

class Outbox {
 public:
  explicit Outbox(datapath::CommandRing& ring) : ring_(&ring) {}

  /// Sends a command, now or, if the PMD is behind, with a later flush(). Order is kept.
  void send(const datapath::Command& command);
  /// Sends what waits, as far as there is room; true if something went.
  bool flush();

  /// How many commands the PMD has yet to take.
  [[nodiscard]] std::uint64_t backlog() const { return sent() - taken(); }
  /// True while commands wait here: no time to think of more work for this PMD.
  [[nodiscard]] bool congested() const { return !waiting_.empty(); }
  /// How many commands were ever given to send(), and how many of those the PMD has taken from the ring.
  [[nodiscard]] std::uint64_t sent() const { return pushed_ + waiting_.size(); }
  [[nodiscard]] std::uint64_t taken() const { return pushed_ - ring_->size(); }

 private:
  datapath::CommandRing* ring_;
  std::deque<datapath::Command> waiting_;
  std::uint64_t pushed_ = 0;
};

}  // namespace sluice::control
