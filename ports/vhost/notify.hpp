// Interrupts to a guest: one eventfd write a burst, and only if the driver has asked to hear of it.
#pragma once

#include "ports/vhost/vhost_queue.hpp"

namespace sluice::ports::vhost {

/// Writes the queue's call eventfd, if it has one. Never waits: the fd is non-blocking, and an eventfd whose counter
/// is full already means an interrupt that the guest has not taken.
void interrupt(VhostQueue& queue, const Vring& vring);

}  // namespace sluice::ports::vhost
