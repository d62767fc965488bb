// ActionLists: the action lists that decisions point to, one of each kind. A million decisions that say "output to
// vm2" share one list. Slow-path thread; PMDs read the lists, so that one that is no longer wanted is handed out to be
// freed later (graveyard.hpp).
#pragma once

#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include "flowtable/action.hpp"

namespace sluice::control {

class ActionLists {
 public:
  /// A list of these actions, kept until it is released as often as it was acquired.
  [[nodiscard]] const flowtable::ActionList* acquire(std::vector<flowtable::Action> actions);
  /// The list, if nobody wants it any more.
  [[nodiscard]] std::unique_ptr<const flowtable::ActionList> release(const flowtable::ActionList* list);

  [[nodiscard]] std::size_t size() const { return lists_.size(); }

 private:
  struct Shared {
    std::unique_ptr<const flowtable::ActionList> list;
    std::size_t uses;
  };
  std::unordered_multimap<std::uint64_t, Shared> lists_;  ///< by hash of the actions
};

}  // namespace sluice::control
