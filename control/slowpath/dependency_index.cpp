#include "control/slowpath/dependency_index.hpp"

namespace sluice::control {

DependencyIndex::Links DependencyIndex::add(DecisionId decision, std::span<const Dependency> dependencies) {
  Links first = kNoLinks;
  for (const auto& what : dependencies) {
    const auto i = take();
    auto& head = heads_.try_emplace(what.word(), kNoLinks).first->second;
    links_[i] = {what, decision, kNoLinks, head, first};
    if (head != kNoLinks) links_[head].previous_dependent = i;
    head = i;
    first = i;
  }
  return first;
}

void DependencyIndex::remove(Links links) {
  while (links != kNoLinks) {
    Link& link = links_[links];
    if (link.next_dependent != kNoLinks) links_[link.next_dependent].previous_dependent = link.previous_dependent;
    if (link.previous_dependent != kNoLinks) {
      links_[link.previous_dependent].next_dependent = link.next_dependent;
    } else if (link.next_dependent != kNoLinks) {
      heads_[link.what.word()] = link.next_dependent;
    } else {
      heads_.erase(link.what.word());
    }
    const auto next = link.next_of_decision;
    link.next_of_decision = free_;
    free_ = links;
    links = next;
  }
}

DependencyIndex::Links DependencyIndex::take() {
  if (free_ == kNoLinks) {
    links_.emplace_back();
    return static_cast<Links>(links_.size() - 1);
  }
  const auto i = free_;
  free_ = links_[i].next_of_decision;
  return i;
}

}  // namespace sluice::control
