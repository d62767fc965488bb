// Waiting and waking: futex(2).
#include "datapath/doorbell.hpp"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <ctime>

namespace sluice::datapath {

static_assert(sizeof(std::atomic<std::uint32_t>) == sizeof(std::uint32_t));

void Doorbell::wait(std::chrono::nanoseconds most) {
  if (most.count() > 0) {
    const timespec relative{most.count() / 1'000'000'000, most.count() % 1'000'000'000};
    // It returns at once if somebody has rung meanwhile: the word is not 1 any more.
    ::syscall(SYS_futex, reinterpret_cast<std::uint32_t*>(&waits_), FUTEX_WAIT_PRIVATE, 1U, &relative, nullptr, 0);
  }
  waits_.store(0, std::memory_order_relaxed);
}

void Doorbell::wake() {
  // Of several who ring, one makes the system call.
  if (waits_.exchange(0, std::memory_order_relaxed) == 0) return;
  ::syscall(SYS_futex, reinterpret_cast<std::uint32_t*>(&waits_), FUTEX_WAKE_PRIVATE, 1U, nullptr, nullptr, 0);
}

}  // namespace sluice::datapath
