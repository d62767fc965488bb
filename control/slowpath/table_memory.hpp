// TableMemory: has the kernel's memory in PMDs' tables before their flows are: a PMD that came to it first would stand
// while a huge page is cleared, 0.1 to 2 ms, with its rings filling up. Slow-path thread.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "control/slowpath/flow_records.hpp"

namespace sluice::control {

class TableMemory {
 public:
  /// Takes what the first flows need. `pmds` outlive it.
  explicit TableMemory(std::span<const PmdLink> pmds);

  /// A huge page for each PMD whose table comes to the end of what it has. True if there was one.
  bool run(const FlowRecords& records);

 private:
  void take_page(std::size_t pmd);

  std::span<const PmdLink> pmds_;
  std::vector<std::size_t> ready_;  ///< by PMD: entries from 0 on that have memory
};

}  // namespace sluice::control
