// View: what PMDs read of the switch's configuration. Immutable once published through one atomic pointer; the
// publisher frees an old view when every PMD has finished a loop since (grace.hpp).
//
// There are two, since there are two publishers: the ports and their queues come from the control thread, the masks
// from the slow path.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "flowtable/flow_key.hpp"
#include "ports/counters.hpp"
#include "ports/queue.hpp"

namespace sluice::datapath {

/// A queue for a PMD to poll.
struct PolledQueue {
  ports::RxQueue queue;
  flowtable::PortId port;
  std::uint16_t queue_id;          ///< of the port, for people
  struct QueueCounters* counters;  ///< of this PMD for this queue; lives as long as the port
};

/// A port to send to, as one PMD uses it.
struct TxPort {
  std::vector<ports::TxQueue> queues;  ///< those this PMD may use; a flow stays on one. Empty: not connected.
  class TxLock* lock = nullptr;        ///< not null only if another PMD uses the same queues
  std::uint32_t max_frame =
      0;  ///< bytes, with Ethernet header and tags, no FCS: MTU + kFrameOverhead. 0: no such port.
};

/// All of one PMD.
struct PortView {
  std::vector<PolledQueue> rx;
  std::size_t polled_ports = 1;                ///< different ports in rx: they share what is bounded
  std::vector<TxPort> tx;                      ///< by PortId
  std::vector<ports::PortCounters*> counters;  ///< by PortId, as many as tx; this PMD's own, never null
};

/// For every PMD the same.
struct MaskView {
  using PortMasks = std::array<flowtable::ClassMask, flowtable::kPacketClasses>;
  std::vector<PortMasks> ports;  ///< by PortId
};

}  // namespace sluice::datapath
