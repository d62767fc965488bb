#include "control/keeper/standstill.hpp"

namespace sluice::control {
namespace {

// relaxed: each is a number for itself.
auto get(const auto& word) { return word.load(std::memory_order_relaxed); }

}  // namespace

bool Standstill::stands(Seen& seen, std::uint64_t value, unsigned patience) {
  seen.looks = patience != 0 && value == seen.value ? seen.looks + 1 : 0;
  seen.value = value;
  return patience != 0 && seen.looks >= patience;
}

unsigned Standstill::patience_asleep(const Heartbeat& heartbeat) const {
  if (get(heartbeat.hang_timeout_ms) == 0) return 0;
  const std::uint64_t timeout = interval_.count() != 0 ? static_cast<std::uint64_t>(interval_.count()) * patience_
                                                       : get(heartbeat.hang_timeout_ms);
  const std::uint64_t sleep = get(heartbeat.idle_sleep_ms);
  return patience_ + static_cast<unsigned>((sleep * patience_ + timeout - 1) / timeout);
}

std::optional<Standstill::Found> Standstill::look(const Heartbeat& heartbeat, bool control) {
  const unsigned patience = get(heartbeat.long_work) != 0 ? kLongWork * patience_ : patience_;
  if (stands(control_, get(heartbeat.control), control ? patience : 0)) {
    return Found{"the control thread", static_cast<int>(get(heartbeat.control_thread)), control_.looks};
  }
  for (std::size_t i = 0; i < heartbeat.pmds.size(); ++i) {
    const auto thread = static_cast<int>(get(heartbeat.pmds[i].thread));
    const std::uint64_t loop = heartbeat.pmds[i].loop.value();
    // Even: outside of a loop, asleep as the configuration has it.
    const unsigned of_pmd = (loop & 1U) != 0 ? patience_ : patience_asleep(heartbeat);
    if (stands(pmds_[i], loop, thread != 0 ? of_pmd : 0)) {
      return Found{"PMD " + std::to_string(i), thread, pmds_[i].looks};
    }
  }
  return {};
}

std::vector<int> Standstill::held_up(const Heartbeat& heartbeat) const {
  std::vector<int> threads;
  for (std::size_t i = 0; i < heartbeat.pmds.size(); ++i) {
    const bool inside = (pmds_[i].value & 1U) != 0;
    if (inside && pmds_[i].looks > 0) threads.push_back(static_cast<int>(get(heartbeat.pmds[i].thread)));
  }
  return threads;
}

}  // namespace sluice::control
