// Interrupts to a guest: one eventfd write a burst, and only if the driver has asked to hear of it.
#pragma once

#include <array>

#include "ports/vhost/vhost_queue.hpp"

namespace sluice::ports::vhost {

/// Writes the queue's call eventfd, if it has one. The fd is non-blocking, and an eventfd whose counter is full
/// already means an interrupt that the guest has not taken.
///
/// A hostile peer shares the fd's flags with us and can make it blocking again, with its counter full: then this
/// waits until the control thread sees that the PMD stands still and interrupts it with a signal (PmdThread). The
/// queue is broken from then on, and the port's alarm is raised: the port ends the connection and holds its peer off.
void interrupt(VhostQueue& queue, const Vring& vring);

/// A PMD's: the rings that went on and whose drivers were not yet asked whether they want to hear of it. Asking needs a
/// full barrier, which waits for all that was written; so it is done for several rings at once, and a little later.
class Notifier {
 public:
  /// The ring has shown its driver what was used, and went on from `from` to `to`. `queue` and `vring` are used until
  /// notify().
  void published(VhostQueue& queue, const Vring& vring, const RingPosition& from, const RingPosition& to) {
    if (count_ == waiting_.size()) [[unlikely]]
      notify();
    waiting_[count_++] = Waiting{&queue, &vring, from, to};
  }
  /// Interrupts the drivers that want it. Before the PMD finishes a loop: behind that, vrings may be gone.
  void notify();

 private:
  struct Waiting {
    VhostQueue* queue;
    const Vring* vring;
    RingPosition from;
    RingPosition to;
  };
  std::array<Waiting, 8> waiting_;
  unsigned count_ = 0;
};

}  // namespace sluice::ports::vhost
