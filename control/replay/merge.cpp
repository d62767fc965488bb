#include "control/replay/merge.hpp"

#include <utility>

namespace sluice::control {

Merge::Merge(std::vector<Capture> inputs) : inputs_(std::move(inputs)), last_(inputs_.size()) {
  for (Capture& input : inputs_) heads_.push_back(input.next());
}

Merge::Next Merge::next() {
  // The frame given out last was in use until now.
  if (last_ < inputs_.size()) heads_[last_] = inputs_[last_].next();
  last_ = inputs_.size();
  for (std::size_t i = 0; i < heads_.size(); ++i) {
    if (heads_[i] == nullptr) continue;
    if (last_ == inputs_.size() || heads_[i]->time < heads_[last_]->time) last_ = i;
  }
  return {last_ == inputs_.size() ? nullptr : heads_[last_], last_};
}

}  // namespace sluice::control
