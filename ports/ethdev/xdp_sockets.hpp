// XdpSockets: the sockets of AF_XDP that this process has open, to close those that a driver forgets.
//
// With libxdp 1.3 under DPDK 22.11, both Debian 12's, a device that is closed leaves the socket of each of its queues
// open: nobody, this process included, could have the queue again while this process lives.
#pragma once

#include <sys/types.h>

#include <set>

namespace sluice::ports::ethdev {

class XdpSockets {
 public:
  [[nodiscard]] static XdpSockets open_now();
  /// Those of these that are not among the others.
  [[nodiscard]] XdpSockets without(const XdpSockets& others) const;
  /// Closes those of these that are still open.
  void close() const;

 private:
  std::set<ino_t> inodes_;
};

}  // namespace sluice::ports::ethdev
