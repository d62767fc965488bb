#include "control/urgency.hpp"

#include <unistd.h>

#include <charconv>
#include <filesystem>
#include <string>
#include <system_error>

namespace sluice::control {

Scheduling Scheduling::of(pid_t thread) {
  const int policy = ::sched_getscheduler(thread);
  sched_param now{};
  if (policy < 0 || ::sched_getparam(thread, &now) != 0) return {SCHED_OTHER, 0};
  return {policy, now.sched_priority};
}

bool Scheduling::apply(pid_t thread) const { return ::sched_setscheduler(thread, policy_, &parameters_) == 0; }

void Scheduling::apply_to_others() const {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/task", error)) {
    const std::string name = entry.path().filename().string();
    pid_t thread = 0;
    std::from_chars(name.data(), name.data() + name.size(), thread);
    if (thread > 0 && thread != ::gettid()) apply(thread);
  }
}

bool make_urgent(pid_t thread) {
  const int policy = Scheduling::of(thread).policy() & ~SCHED_RESET_ON_FORK;
  if (policy == SCHED_FIFO || policy == SCHED_RR) return true;
  return Scheduling(SCHED_RR, ::sched_get_priority_min(SCHED_RR)).apply(thread);
}

}  // namespace sluice::control
