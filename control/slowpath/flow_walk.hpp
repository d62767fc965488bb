// FlowWalk: all records of all PMDs in a fixed order, round and round, a few at a time. FlowPass: one such round, from
// wherever it is. Slow-path thread.
#pragma once

#include <algorithm>
#include <utility>

#include "control/slowpath/flow_records.hpp"

namespace sluice::control {

class FlowWalk {
 public:
  explicit FlowWalk(const FlowRecords& records, std::size_t pmds) : records_(records), pmds_(pmds) {}

  /// Places there are now: the length of one whole round.
  [[nodiscard]] std::size_t length() const {
    std::size_t all = 0;
    for (std::size_t pmd = 0; pmd < pmds_; ++pmd) all += records_.places(pmd);
    return all;
  }

  /// Calls `f(FlowRef)` for the live flows among the next `places` places. `f` may drop the flow.
  template <typename F>
  void next(std::size_t places, F f) {
    while (places != 0 && turn_to_place()) {
      records_.prefetch(flow_ref(pmd_, entry_ + kAhead));
      const auto flow = flow_ref(pmd_, entry_++);
      --places;
      if (records_.live(flow)) f(flow);
    }
  }

 private:
  static constexpr flowtable::EntryId kAhead = 16;

  /// False if there is none.
  bool turn_to_place() {
    for (std::size_t i = 0; i <= pmds_; ++i) {
      if (pmds_ != 0 && entry_ < records_.places(pmd_)) return true;
      entry_ = 0;
      pmd_ = pmds_ == 0 ? 0 : (pmd_ + 1) % pmds_;
    }
    return false;
  }

  const FlowRecords& records_;
  std::size_t pmds_;
  std::size_t pmd_ = 0;
  flowtable::EntryId entry_ = 0;
};

class FlowPass {
 public:
  FlowPass(const FlowRecords& records, std::size_t pmds) : walk_(records, pmds) {}

  /// All flows that there are now are to be gone over, those as well that this pass has seen before.
  void start() { left_ = length_ = walk_.length(); }
  /// Places still to be gone over; 0: the pass has ended.
  [[nodiscard]] std::size_t left() const { return left_; }

  /// Calls `f(FlowRef)` for the live flows among the next `places`, if there are so many left. `f` may drop the flow.
  template <typename F>
  void go_on(std::size_t places, F f) {
    if (left_ == 0) return;
    // New flows may have taken places in between, which the round goes over as well: without them in the count it would
    // end before it came to those behind its start.
    left_ += walk_.length() - std::exchange(length_, walk_.length());
    const auto now = std::min(places, left_);
    walk_.next(now, f);
    left_ -= now;
  }

 private:
  FlowWalk walk_;
  std::size_t left_ = 0;
  std::size_t length_ = 0;  ///< of the walk's round, when left_ was counted
};

}  // namespace sluice::control
