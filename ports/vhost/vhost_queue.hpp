// VhostQueue: one virtqueue of a port, for as long as the port lives; guests and their vrings come and go in it.
//
// receive and release serve the guest's transmit queues, transmit its receive queues. All three run on a PMD and
// neither block nor allocate. The guest is not trusted: every address, length and index is checked when it is used,
// from a private copy where it could change in between.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>

#include "ports/counters.hpp"
#include "ports/frame.hpp"
#include "ports/vhost/look_ahead.hpp"
#include "ports/vhost/vring.hpp"

namespace sluice::ports::vhost {

struct alignas(64) VhostQueue {
  /// Published by the control thread; null: no guest, or the ring is stopped. A PMD loads it once per verb.
  std::atomic<Vring*> vring{nullptr};

  // The PMD's own, from here on; zeroed by the control thread before it publishes a vring.
  bool broken = false;               ///< the guest broke the ring beyond repair; waits for a new vring
  RingPosition taken;                ///< between receive and release: up to where chains were taken
  const Vring* receiving = nullptr;  ///< between receive and release: the ring they were taken from
  LookAhead ahead;

  // How the PMD tells that the guest has held it up (notify.hpp): seldom, once for each time.
  int alarm = -1;  ///< eventfd of the port, set before the first vring is published; -1: nobody listens
  std::atomic<bool> held_up{false};  ///< until the front end is gone: Rings::forgive()

  // Counted by the PMD, shown by the control thread.
  Counter guest_errors;       ///< malformed chains and indices
  Counter interrupts;         ///< eventfd writes
  Counter interrupts_failed;  ///< eventfd writes that did not go through
};

class Notifier;

/// Sends for the line in which the driver will say that there is more: it comes while something else is waited for. By
/// any PMD that is going to use the queue, also while another does.
inline void expect(const VhostQueue& queue) {
  // acquire: what the vring points to was written before it was published.
  const Vring* vring = queue.vring.load(std::memory_order_acquire);
  if (vring == nullptr) return;
  if (vring->packed) {
    prefetch_to_read(vring->packed_desc + next_avail_of(*vring->progress));
  } else {
    prefetch_to_read(vring->avail);
  }
}

void receive(VhostQueue& queue, Burst& burst, PortCounters& counters);
void release(VhostQueue& queue, Burst& burst, Notifier& notifier);
void transmit(VhostQueue& queue, std::span<Frame* const> frames, PortCounters& counters, Notifier& notifier);
[[nodiscard]] TxCapabilities tx_capabilities(const VhostQueue& queue);

/// Tells the driver that it need not kick this ring, since we poll it. Control thread, before publication.
void suppress_kicks(const Vring& vring);
/// Interrupts the driver once, whatever it asked for: after a ring was taken up again. Control thread.
void kick(VhostQueue& queue, const Vring& vring);

}  // namespace sluice::ports::vhost
