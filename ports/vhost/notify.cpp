#include "ports/vhost/notify.hpp"

#include <unistd.h>
#include <csignal>
#include <ctime>

#include <cerrno>
#include <cstdint>
#include <span>
#include <utility>

#include "ports/vhost/packed_ring.hpp"
#include "ports/vhost/split_ring.hpp"

namespace sluice::ports::vhost {
namespace {

/// Whether the write went through; else errno says why.
bool signal(int eventfd) {
  const std::uint64_t one = 1;
  return ::write(eventfd, &one, sizeof one) == static_cast<ssize_t>(sizeof one);
}

void raise_alarm(VhostQueue& queue) {
  // release: before the alarm, which the control thread answers by looking here.
  queue.held_up.store(true, std::memory_order_release);
  if (queue.alarm >= 0) signal(queue.alarm);  // ours alone, and non-blocking
}

/// While this lives, a system call that the calling thread waits in comes back with EINTR: nobody else would interrupt
/// the control thread.
class WakeUp {
 public:
  WakeUp() {
    struct sigaction action = {};
    action.sa_handler = [](int) {};  // without SA_RESTART: the call it interrupts returns
    ::sigaction(SIGURG, &action, nullptr);
    sigevent event{};
    event.sigev_notify = SIGEV_THREAD_ID;
    event.sigev_signo = SIGURG;
    event._sigev_un._tid = ::gettid();
    made_ = ::timer_create(CLOCK_MONOTONIC, &event, &timer_) == 0;
    // Again and again: the first may come before the call has begun. Soon, since a write waits for nobody but a guest
    // that means it to, and other guests may wait for us.
    constexpr timespec kPatience{0, 1'000'000};
    const itimerspec every{kPatience, kPatience};
    if (made_) ::timer_settime(timer_, 0, &every, nullptr);
  }
  ~WakeUp() {
    const int error = errno;
    if (made_) ::timer_delete(timer_);
    errno = error;
  }
  WakeUp(const WakeUp&) = delete;
  WakeUp& operator=(const WakeUp&) = delete;

 private:
  timer_t timer_{};
  bool made_ = false;
};

}  // namespace

void interrupt(VhostQueue& queue, const Vring& vring) {
  if (vring.call_fd < 0) return;
  if (signal(vring.call_fd)) {
    queue.interrupts.add();
    return;
  }
  queue.interrupts_failed.add();
  if (errno == EINTR) {  // it did wait, until somebody noticed that the PMD stood still
    queue.broken = true;
    queue.guest_errors.add();
    raise_alarm(queue);
  }
}

void Notifier::notify() {
  const unsigned count = std::exchange(count_, 0U);
  if (count == 0) return;
  // What was used must be visible before the drivers' wishes are read, or a driver that is about to wait and we could
  // miss each other.
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  for (const Waiting& w : std::span(waiting_).first(count)) {
    const bool wanted = w.vring->packed ? PackedRing::interrupt_wanted(*w.vring, w.from, w.to)
                                        : SplitRing::interrupt_wanted(*w.vring, w.from, w.to);
    if (wanted) interrupt(*w.queue, *w.vring);
  }
}

void kick(VhostQueue& queue, const Vring& vring) {
  if (vring.call_fd < 0) return;
  const WakeUp wake_up;
  if (!signal(vring.call_fd) && errno == EINTR) raise_alarm(queue);
}

void suppress_kicks(const Vring& vring) {
  if (vring.packed) {
    __atomic_store_n(&vring.device_event->flags, packed::kEventDisable, __ATOMIC_RELAXED);
  } else {
    // With EVENT_IDX the driver looks at avail_event instead. We never move it, so it asks for one kick in 65,536
    // entries; nobody reads that eventfd.
    __atomic_store_n(&vring.used->flags, split::kUsedNoNotify, __ATOMIC_RELAXED);
  }
  static_assert(sizeof(split::RingHeader) == sizeof(packed::EventSuppress));
  if (vring.log_used) vring.log->mark(vring.log_wish_addr, sizeof(split::RingHeader));
}

}  // namespace sluice::ports::vhost
