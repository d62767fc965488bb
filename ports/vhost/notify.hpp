// Interrupts to a guest: one eventfd write a burst, and only if the driver has asked to hear of it.
#pragma once

#include <array>
#include <cstddef>

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
  /// The ring has shown its driver what was used, at most a whole ring, and went on from `from` to `to`. `queue` and
  /// `vring` are used until notify().
  void published(VhostQueue& queue, const Vring& vring, const RingPosition& from, const RingPosition& to) {
    if (count_ != 0 && waiting_[count_ - 1].goes_on(vring, from, to)) [[unlikely]] {
      waiting_[count_ - 1].to = to;
      return;
    }
    if (count_ == waiting_.size()) [[unlikely]]
      notify();
    waiting_[count_++] = Waiting{&queue, &vring, from, to};
  }
  /// Before a lock is taken under which published() is called: an interrupt is a system call, and nobody is to wait for
  /// those that others cause.
  void make_room() {
    if (count_ > waiting_.size() - kMostUnderALock) [[unlikely]]
      notify();
  }
  /// Interrupts the drivers that want it. Before the PMD finishes a loop: behind that, vrings may be gone.
  void notify();

 private:
  struct Waiting {
    VhostQueue* queue;
    const Vring* vring;
    RingPosition from;
    RingPosition to;

    /// Whether it is the same ring, and in the same round: what was used since is less than a round.
    [[nodiscard]] bool goes_on(const Vring& another, const RingPosition& other_from,
                               const RingPosition& other_to) const {
      return vring == &another && to.next_used == other_from.next_used && to.used_wrap == other_from.used_wrap &&
             from.used_wrap == other_to.used_wrap && from.next_used < other_to.next_used;
    }
  };
  /// A batch goes to as many queues as it has frames, and may take each round its ring a few times.
  static constexpr std::size_t kMostUnderALock = 64;
  std::array<Waiting, 2 * kMostUnderALock> waiting_;
  unsigned count_ = 0;
};

}  // namespace sluice::ports::vhost
