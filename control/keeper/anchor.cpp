// drop_anchor. What the child runs shares this process's memory, thread-local storage included: it calls no library,
// not even for its system calls, for these would write errno.
#include "control/keeper/anchor.hpp"

#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <csignal>
#include <cstddef>

namespace sluice::control {
namespace {

constexpr std::size_t kStackBytes = 16 << 10;

alignas(16) std::byte stack[kStackBytes];
int lifeline_fd = -1;

[[gnu::always_inline]] inline long system_call(long number, long a = 0, long b = 0, long c = 0, long d = 0) {
  long result = 0;
  register long fourth asm("r10") = d;
  asm volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c), "r"(fourth) : "rcx", "r11", "memory");
  return result;
}

/// No signal but SIGKILL reaches it.
__attribute__((no_sanitize("address", "undefined", "thread"))) int hold(void* /*unused*/) {
  system_call(SYS_prctl, PR_SET_NAME, reinterpret_cast<long>("sluice-anchor"));
  pollfd end{lifeline_fd, POLLIN, 0};
  while (end.revents == 0) system_call(SYS_ppoll, reinterpret_cast<long>(&end), 1);
  system_call(SYS_exit_group);
  return 0;
}

}  // namespace

bool drop_anchor(ports::UniqueFd lifeline, const Scheduling& scheduling) {
  lifeline_fd = lifeline.release();
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, &before);
  const int child = ::clone(hold, stack + kStackBytes, CLONE_VM | CLONE_FILES | SIGCHLD, nullptr);
  sigprocmask(SIG_SETMASK, &before, nullptr);
  if (child < 0) return false;
  scheduling.apply(child);
  return true;
}

}  // namespace sluice::control
