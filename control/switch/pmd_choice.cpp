#include "control/switch/pmd_choice.hpp"

#include <optional>

namespace sluice::control {
namespace {

/// So many queues more than another PMD are worth it to stay with the memory.
constexpr std::size_t kWorth = 1;

}  // namespace

std::size_t choose_pmd(std::span<const PmdLoad> pmds, int numa_node) {
  std::optional<std::size_t> near;
  std::optional<std::size_t> far;
  for (std::size_t i = 0; i < pmds.size(); ++i) {
    auto& best = pmds[i].numa_node == numa_node ? near : far;
    if (!best || pmds[i].queues < pmds[*best].queues) best = i;
  }
  if (!near) return *far;
  return far && pmds[*near].queues > pmds[*far].queues + kWorth ? *far : *near;
}

}  // namespace sluice::control
