// Interrupts to a guest: one eventfd write a burst, and only if the driver has asked to hear of it.
#pragma once

#include "ports/vhost/vhost_queue.hpp"

namespace sluice::ports::vhost {

/// Writes the queue's call eventfd, if it has one. The fd is non-blocking, and an eventfd whose counter is full
/// already means an interrupt that the guest has not taken.
///
/// A hostile peer shares the fd's flags with us and can make it blocking again, with its counter full: then this
/// waits until the control thread sees that the PMD stands still and interrupts it with a signal (PmdThread). The
/// queue is broken from then on, and the port's alarm is raised: the port ends the connection and holds its peer off.
void interrupt(VhostQueue& queue, const Vring& vring);

}  // namespace sluice::ports::vhost
