#include "ports/vhost/notify.hpp"

#include <unistd.h>

#include <cerrno>
#include <cstdint>

namespace sluice::ports::vhost {
namespace {

/// Whether the write went through; else errno says why.
bool signal(int eventfd) {
  const std::uint64_t one = 1;
  return ::write(eventfd, &one, sizeof one) == static_cast<ssize_t>(sizeof one);
}

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
  }
}

void kick(const Vring& vring) {
  if (vring.call_fd >= 0) signal(vring.call_fd);
}

void suppress_kicks(const Vring& vring) {
  if (vring.packed) {
    __atomic_store_n(&vring.device_event->flags, packed::kEventDisable, __ATOMIC_RELAXED);
    return;
  }
  // With EVENT_IDX the driver looks at avail_event instead. We never move it, so it asks for one kick in 65,536
  // entries; nobody reads that eventfd.
  __atomic_store_n(&vring.used->flags, split::kUsedNoNotify, __ATOMIC_RELAXED);
  if (vring.log_used) vring.log->mark(vring.log_used_addr, sizeof(split::RingHeader));
}

}  // namespace sluice::ports::vhost
