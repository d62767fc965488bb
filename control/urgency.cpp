#include "control/urgency.hpp"

namespace sluice::control {

Scheduling Scheduling::of(pid_t thread) {
  Scheduling now;
  const int policy = ::sched_getscheduler(thread);
  if (policy >= 0 && ::sched_getparam(thread, &now.parameters_) == 0) now.policy_ = policy;
  return now;
}

bool Scheduling::apply(pid_t thread) const { return ::sched_setscheduler(thread, policy_, &parameters_) == 0; }

bool make_urgent(pid_t thread) {
  const int policy = Scheduling::of(thread).policy_ & ~SCHED_RESET_ON_FORK;
  if (policy == SCHED_FIFO || policy == SCHED_RR) return true;
  Scheduling urgent;
  urgent.policy_ = SCHED_RR;
  urgent.parameters_.sched_priority = ::sched_get_priority_min(SCHED_RR);
  return urgent.apply(thread);
}

}  // namespace sluice::control
