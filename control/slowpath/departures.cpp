#include "control/slowpath/departures.hpp"

#include <algorithm>

namespace sluice::control {

void Departures::add(flowtable::PortId port) {
  leaving_.push_back({port, Carried(flows_.outboxes()), {}, std::nullopt, std::nullopt});
}

void Departures::run(bool settled) {
  for (Leaving& port : leaving_) advance(port, settled);
  std::erase_if(leaving_, [&](const Leaving& port) { return port.batch && flows_.graveyard().freed(*port.batch); });
}

bool Departures::contains(flowtable::PortId port) const {
  return std::ranges::any_of(leaving_, [port](const Leaving& leaving) { return leaving.port == port; });
}

void Departures::advance(Leaving& port, bool settled) {
  if (port.batch) return;
  if (!port.sent_before.out(pmds_, flows_.outboxes())) return;
  if (port.upcalls.empty()) {
    for (std::size_t pmd = 0; pmd < pmds_.size(); ++pmd) {
      port.upcalls.push_back(upcalls_.taken(pmd) + pmds_[pmd].upcalls->size());
    }
  }
  if (!port.answers) {
    if (!answered(port)) return;
    port.answers.emplace(flows_.outboxes());
  }
  if (port.answers->out(pmds_, flows_.outboxes()) && settled) port.batch = flows_.graveyard().batch();
}

bool Departures::answered(const Leaving& port) const {
  for (std::size_t pmd = 0; pmd < pmds_.size(); ++pmd) {
    if (upcalls_.taken(pmd) < port.upcalls[pmd]) return false;
  }
  return upcalls_.of_port(port.port) == 0;
}

}  // namespace sluice::control
