// Which PMD a queue is given to that nobody has pinned. Pure; control thread.
#pragma once

#include <cstddef>
#include <span>

namespace sluice::control {

struct PmdLoad {
  int numa_node;
  std::size_t queues;  ///< that it polls already
};

/// The PMD with the fewest queues of those on `numa_node`, where the guest's memory is, unless it has more than its
/// share: then the one with the fewest queues elsewhere. Of equals the first. There is at least one PMD.
[[nodiscard]] std::size_t choose_pmd(std::span<const PmdLoad> pmds, int numa_node);

}  // namespace sluice::control
