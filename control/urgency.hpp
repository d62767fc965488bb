// Urgency: real-time priority for the moments in which VMs wait for a thread, and short slices at all times.
//
// What hands ports over from one worker to another does little, but wakes up many times, in three processes; where it
// shares its core with a program that spins, each time may cost milliseconds. Where real-time priority is not permitted
// (it takes CAP_SYS_NICE, or RLIMIT_RTPRIO), all is as it would be without, and slower.
//
// And a worker that makes itself ready shares its core with VMs that another worker serves. With slices of 0.1 ms it is
// off the core at each of the kernel's ticks, where with the usual ones it stays for two; and what wakes up for a
// moment, as the slow path does, comes to the core sooner. Linux 6.12 and later; before, nothing asks how long a slice
// should be.
#pragma once

#include <sched.h>
#include <sys/types.h>

namespace sluice::control {

class Scheduling {
 public:
  /// As sched_setscheduler(2) has them.
  Scheduling(int policy, int priority) : policy_(policy) { parameters_.sched_priority = priority; }
  /// Of a thread as it is now; 0: of this one.
  [[nodiscard]] static Scheduling of(pid_t thread);

  [[nodiscard]] int policy() const { return policy_; }
  [[nodiscard]] int priority() const { return parameters_.sched_priority; }
  /// Makes a thread be so, with short slices unless it is real-time; whether that was permitted. Calls nothing that a
  /// child may not call before exec.
  bool apply(pid_t thread) const;  // NOLINT(modernize-use-nodiscard): what is not permitted is left as it is
  /// Makes all threads of this process be so, but the one that calls.
  void apply_to_others() const;

 private:
  int policy_;
  sched_param parameters_{};
};

/// The thread goes before whatever is not real-time; one that is real-time already stays as it is. What it starts from
/// now on would be urgent too.
bool make_urgent(pid_t thread);

}  // namespace sluice::control
