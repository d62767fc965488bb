#include "control/keeper/keepsakes.hpp"

#include <utility>

namespace sluice::control {

bool Keepsakes::apply(Received& received) {
  const Message& m = received.message;
  switch (m.saying) {
    case Saying::keep:
      if (received.fd) kept_[{m.slot, m.kind, m.index}] = std::move(received.fd);
      return true;
    case Saying::forget: kept_.erase({m.slot, m.kind, m.index}); return true;
    case Saying::forget_slot: forget_slot(m.slot); return true;
    case Saying::ready:
    case Saying::wants_alone:
    case Saying::taken_up:
    case Saying::running:
    case Saying::refused:
    case Saying::parking:
    case Saying::handed_over:
    case Saying::wants_upgrade:
    case Saying::flows_listed:
    case Saying::flows_adopted:
    case Saying::go:
    case Saying::alone:
    case Saying::list_flows:
    case Saying::adopt_flows:
    case Saying::hand_over:
    case Saying::resume:
    case Saying::leave:
    case Saying::stop:
    case Saying::upgraded:
    case Saying::proven: return false;
  }
  return false;
}

void Keepsakes::forget_slot(std::uint32_t slot) {
  std::erase_if(kept_, [slot](const auto& entry) { return entry.first.slot == slot; });
}

ports::UniqueFd Keepsakes::take(const KeptPlace& place) {
  auto node = kept_.extract(place);
  return node.empty() ? ports::UniqueFd() : std::move(node.mapped());
}

int Keepsakes::find(const KeptPlace& place) const {
  const auto found = kept_.find(place);
  return found == kept_.end() ? -1 : found->second.get();
}

}  // namespace sluice::control
