#include "control/urgency.hpp"

#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <charconv>
#include <cstdint>
#include <filesystem>
#include <string>
#include <system_error>

namespace sluice::control {
namespace {

/// sched_setattr(2), which has no declaration in glibc 2.36; nor can the kernel's own stand beside glibc's <sched.h>.
struct SchedulingAttributes {
  std::uint32_t size = sizeof(SchedulingAttributes);
  std::uint32_t policy;
  std::uint64_t flags = 0;
  std::int32_t nice;
  std::uint32_t priority;
  std::uint64_t runtime_ns;  ///< of SCHED_OTHER and SCHED_BATCH: the slice, 0.1 to 100 ms; 0: the usual one
  std::uint64_t deadline_ns = 0;
  std::uint64_t period_ns = 0;
};
static_assert(sizeof(SchedulingAttributes) == 48);

constexpr std::uint64_t kResetOnFork = 1;  // SCHED_FLAG_RESET_ON_FORK
constexpr std::uint64_t kSliceNs = 100'000;

}  // namespace

Scheduling Scheduling::of(pid_t thread) {
  const int policy = ::sched_getscheduler(thread);
  sched_param now{};
  if (policy < 0 || ::sched_getparam(thread, &now) != 0) return {SCHED_OTHER, 0};
  return {policy, now.sched_priority};
}

bool Scheduling::apply(pid_t thread) const {
  const int policy = policy_ & ~SCHED_RESET_ON_FORK;
  const bool fair = policy == SCHED_OTHER || policy == SCHED_BATCH;
  const SchedulingAttributes wanted{.policy = static_cast<std::uint32_t>(policy),
                                    .flags = policy == policy_ ? 0 : kResetOnFork,
                                    .nice = ::getpriority(PRIO_PROCESS, static_cast<id_t>(thread)),
                                    .priority = static_cast<std::uint32_t>(parameters_.sched_priority),
                                    .runtime_ns = fair ? kSliceNs : 0};
  return ::syscall(SYS_sched_setattr, thread, &wanted, 0U) == 0;
}

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
