// RxQueue and TxQueue: the two verbs of the hot loop. A queue is one of two kinds, vhost or ethdev, and the branch
// between them is taken once a burst.
#pragma once

#include <cstdint>
#include <span>

#include "ports/counters.hpp"
#include "ports/ethdev/ethdev_queue.hpp"
#include "ports/frame.hpp"
#include "ports/vhost/notify.hpp"
#include "ports/vhost/vhost_queue.hpp"

namespace sluice::ports {

/// A PMD's: guests that are to be told of what they were sent, or of what was taken from them.
using Notifier = vhost::Notifier;

/// A queue that a PMD polls. A value that refers to a queue of a Port.
class RxQueue {
 public:
  explicit RxQueue(vhost::VhostQueue& queue) : vhost_(&queue) {}
  explicit RxQueue(ethdev::EthdevQueue& queue) : ethdev_(&queue) {}

  /// To be called some time before receive, for no other reason than speed.
  void expect() const {
    if (vhost_ != nullptr) vhost::expect(*vhost_);
  }
  /// Fills `burst` with at most kBurstSize frames, in the order they came, and counts them. What cannot be a frame
  /// is dropped here, counted by reason.
  void receive(Burst& burst, PortCounters& counters) const {
    vhost_ != nullptr ? vhost::receive(*vhost_, burst, counters) : ethdev::receive(*ethdev_, burst, counters);
  }
  /// Gives back what receive borrowed. To be called once after each receive; a guest is told by the notifier.
  void release(Burst& burst, Notifier& notifier) const {
    vhost_ != nullptr ? vhost::release(*vhost_, burst, notifier) : ethdev::release(*ethdev_, burst);
  }

 private:
  vhost::VhostQueue* vhost_ = nullptr;
  ethdev::EthdevQueue* ethdev_ = nullptr;
};

/// A queue that a PMD transmits to.
class TxQueue {
 public:
  TxQueue() = default;
  explicit TxQueue(vhost::VhostQueue& queue) : vhost_(&queue) {}
  explicit TxQueue(ethdev::EthdevQueue& queue) : ethdev_(&queue) {}

  [[nodiscard]] TxCapabilities capabilities() const {
    return vhost_ != nullptr ? vhost::tx_capabilities(*vhost_) : ethdev::tx_capabilities(*ethdev_);
  }
  /// To be called some time before transmit, for no other reason than speed.
  void expect() const {
    if (vhost_ != nullptr) vhost::expect(*vhost_);
  }
  /// Transmits frames in order, never waiting: what does not fit is dropped and counted. Decrements each frame's
  /// `outputs`; when it reaches zero, the frame's mbuf may have been taken (then it is null).
  void transmit(std::span<Frame* const> frames, PortCounters& counters, Notifier& notifier) const {
    vhost_ != nullptr ? vhost::transmit(*vhost_, frames, counters, notifier)
                      : ethdev::transmit(*ethdev_, frames, counters);
  }

 private:
  vhost::VhostQueue* vhost_ = nullptr;
  ethdev::EthdevQueue* ethdev_ = nullptr;
};

}  // namespace sluice::ports
