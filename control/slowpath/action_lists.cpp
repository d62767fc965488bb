#include "control/slowpath/action_lists.hpp"

#include <algorithm>
#include <cassert>
#include <span>
#include <string_view>

namespace sluice::control {
namespace {

using flowtable::Action;
using flowtable::ActionList;

std::uint64_t hash_of(std::span<const Action> actions) {
  return std::hash<std::string_view>{}({reinterpret_cast<const char*>(actions.data()), actions.size_bytes()});
}

}  // namespace

const ActionList* ActionLists::acquire(std::vector<Action> actions) {
  const auto hash = hash_of(actions);
  const auto [begin, end] = lists_.equal_range(hash);
  const auto found = std::find_if(
      begin, end, [&](const auto& known) { return std::ranges::equal(known.second.list->actions(), actions); });
  if (found != end) {
    ++found->second.uses;
    return found->second.list.get();
  }
  auto list = std::make_unique<const ActionList>(std::move(actions));
  return lists_.emplace(hash, Shared{std::move(list), 1})->second.list.get();
}

std::unique_ptr<const ActionList> ActionLists::release(const ActionList* list) {
  const auto [begin, end] = lists_.equal_range(hash_of(list->actions()));
  const auto found = std::find_if(begin, end, [&](const auto& known) { return known.second.list.get() == list; });
  assert(found != end);
  if (--found->second.uses != 0) return nullptr;
  auto last = std::move(found->second.list);
  lists_.erase(found);
  return last;
}

}  // namespace sluice::control
