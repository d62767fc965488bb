// DependencyIndex: from what has changed to the decisions that were made by it, and back. Slow-path thread.
#pragma once

#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "control/slowpath/outcome.hpp"

namespace sluice::control {

/// A decision's number; see DecisionStore.
using DecisionId = std::uint32_t;
inline constexpr DecisionId kNoDecision = 0xffffffff;

class DependencyIndex {
 public:
  /// The first of a decision's links; what the index keeps with each decision.
  using Links = std::uint32_t;
  static constexpr Links kNoLinks = 0xffffffff;

  explicit DependencyIndex(std::uint64_t hash_secret) : heads_(16, Hash{hash_secret}) {}

  [[nodiscard]] Links add(DecisionId decision, std::span<const Dependency> dependencies);
  void remove(Links links);

  /// Calls `f(DecisionId)` for each decision that depends on `what`; `f` changes nothing here. A decision may come
  /// twice.
  template <typename F>
  void for_each_dependent(const Dependency& what, F f) const {
    const auto head = heads_.find(what.word());
    if (head == heads_.end()) return;
    for (auto i = head->second; i != kNoLinks; i = links_[i].next_dependent) f(links_[i].decision);
  }
  /// Calls `f(Dependency)` for each dependency of a decision.
  template <typename F>
  void for_each_dependency(Links links, F f) const {
    for (auto i = links; i != kNoLinks; i = links_[i].next_of_decision) f(links_[i].what);
  }

 private:
  struct Link {
    Dependency what;
    DecisionId decision;
    Links previous_dependent;
    Links next_dependent;
    Links next_of_decision;  ///< of a free link: the next free one
  };
  struct Hash {
    std::uint64_t secret;
    std::size_t operator()(std::uint64_t word) const {
      const auto product = static_cast<unsigned __int128>(word ^ secret) * ((secret >> 5U) | 0x9e37'79b9'0000'0001ULL);
      return static_cast<std::size_t>(product ^ (product >> 64U));
    }
  };

  [[nodiscard]] Links take();

  std::unordered_map<std::uint64_t, Links, Hash> heads_;  ///< by Dependency::word()
  std::vector<Link> links_;
  Links free_ = kNoLinks;
};

}  // namespace sluice::control
