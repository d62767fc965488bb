#include "control/slowpath/pmd_link.hpp"

#include <span>
#include <utility>

namespace sluice::control {

PmdLink link_to(datapath::Pmd& pmd) {
  return {
      &pmd.upcalls(),
      &pmd.commands(),
      &pmd.table(),
      &pmd.loop(),
      [&pmd](const datapath::MaskView* view) { return pmd.publish_masks(view); },
      pmd.pool(),
      [&pmd](const flowtable::FlowKey& key, const flowtable::Decision& decision) { return pmd.adopt(key, decision); }};
}

bool Outbox::flush() {
  const auto went = ring_->push(std::span(waiting_).subspan(first_));
  pushed_ += went;
  first_ += went;
  // What went is let go of when it is most of it: each command is moved once, if ever.
  if (first_ >= waiting_.size() - first_) {
    waiting_.erase(waiting_.begin(), waiting_.begin() + static_cast<std::ptrdiff_t>(std::exchange(first_, 0)));
  }
  return went != 0;
}

}  // namespace sluice::control
