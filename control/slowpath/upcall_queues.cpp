#include "control/slowpath/upcall_queues.hpp"

namespace sluice::control {

void UpcallQueues::push(const WaitingUpcall& upcall) {
  const auto port = upcall.upcall.key.in_port;
  if (port >= of_port_.size()) of_port_.resize(std::size_t{port} + 1);
  if (upcall.pmd >= of_pmd_.size()) {
    of_pmd_.resize(upcall.pmd + 1);
    taken_.resize(upcall.pmd + 1);
  }
  if (of_port_[port].empty()) turns_.push_back(port);
  of_port_[port].push_back(upcall);
  ++of_pmd_[upcall.pmd];
  ++taken_[upcall.pmd];
  ++size_;
}

std::optional<WaitingUpcall> UpcallQueues::pop() {
  if (turns_.empty()) return std::nullopt;
  const auto port = turns_.front();
  turns_.pop_front();
  auto& queue = of_port_[port];
  const auto upcall = queue.front();
  queue.pop_front();
  if (!queue.empty()) turns_.push_back(port);
  --of_pmd_[upcall.pmd];
  --size_;
  return upcall;
}

}  // namespace sluice::control
