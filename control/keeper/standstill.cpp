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
  const std::uint64_t timeout = get(heartbeat.hang_timeout_ms);
  if (timeout == 0) return 0;
  const std::uint64_t sleep = get(heartbeat.idle_sleep_ms);
  return patience_ + static_cast<unsigned>((sleep * patience_ + timeout - 1) / timeout);
}

std::optional<Standstill::Found> Standstill::look(const Heartbeat& heartbeat) {
  const std::uint64_t ticks = get(heartbeat.control);
  const bool control_moves = control_.value != ticks;
  if (stands(control_, ticks, get(heartbeat.long_work) != 0 ? kLongWork * patience_ : patience_)) {
    return Found{"the control thread", static_cast<int>(get(heartbeat.control_thread)), control_.looks};
  }
  // What is known of the PMDs is what the control thread last said.
  if (!control_moves) return {};
  for (std::size_t i = 0; i < heartbeat.pmds.size(); ++i) {
    const auto thread = static_cast<int>(get(heartbeat.pmds[i].thread));
    const std::uint64_t loop = get(heartbeat.pmds[i].loop);
    // Even: outside of a loop, asleep as the configuration has it.
    const unsigned patience = (loop & 1U) != 0 ? patience_ : patience_asleep(heartbeat);
    if (stands(pmds_[i], loop, thread != 0 ? patience : 0)) {
      return Found{"PMD " + std::to_string(i), thread, pmds_[i].looks};
    }
  }
  return {};
}

}  // namespace sluice::control
