#include "control/slowpath/pmd_link.hpp"

namespace sluice::control {

PmdLink link_to(datapath::Pmd& pmd) {
  return {&pmd.upcalls(),
          &pmd.commands(),
          &pmd.table(),
          &pmd.loop(),
          [&pmd](const datapath::MaskView* view) { return pmd.publish_masks(view); },
          pmd.pool()};
}

void Outbox::send(const datapath::Command& command) {
  if (waiting_.empty() && ring_->push(command)) {
    ++pushed_;
  } else {
    waiting_.push_back(command);
  }
}

bool Outbox::flush() {
  bool any = false;
  while (!waiting_.empty() && ring_->push(waiting_.front())) {
    waiting_.pop_front();
    ++pushed_;
    any = true;
  }
  return any;
}

}  // namespace sluice::control
