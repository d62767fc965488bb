// FlowWalk: all records of all PMDs in a fixed order, round and round, a few at a time. Slow-path thread.
#pragma once

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
  static constexpr flowtable::EntryId kAhead = 8;

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

}  // namespace sluice::control
