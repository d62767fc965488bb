// Vring: one virtqueue as a PMD sees it. Built by the control thread (device.cpp) from what the front end has said,
// every address checked; immutable from publication until every PMD has finished a loop after it was taken back.
//
// What has to outlive this process is in RingPosition, apart, so that it can live in memory that is handed over.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "ports/vhost/dirty_log.hpp"
#include "ports/vhost/guest_memory.hpp"
#include "ports/vhost/virtio.hpp"

namespace sluice::ports::vhost {

/// How far a ring has been worked. Written by the PMD that owns the queue, once a burst; read and set by the control
/// thread while the ring is not published (SET_VRING_BASE, GET_VRING_BASE).
struct alignas(8) RingPosition {
  std::uint16_t next_avail = 0;  ///< split: free-running index; packed: slot, 0 to size - 1
  std::uint16_t next_used = 0;   ///< likewise
  std::uint8_t avail_wrap = 1;   ///< packed: the wrap counters (section 2.8.1), 0 or 1
  std::uint8_t used_wrap = 1;
  std::uint16_t reserved = 0;
};
static_assert(sizeof(RingPosition) == 8);

/// A chain that is given back to the driver; in order, it may stand for those before it as well.
struct UsedChain {
  std::uint16_t id;           ///< split: index of the head descriptor; packed: the buffer id
  std::uint16_t descriptors;  ///< places of the ring that are given back: packed: slots; split: chains
  std::uint32_t len;          ///< bytes written to it
};

/// What is being shown to the driver of a packed ring. That overwrites the descriptors it gave us, in many stores: a
/// process that dies among them leaves a ring of which nobody could tell what was in it. So it is written down here
/// first, and whoever comes next finishes it (finish_used). A split ring needs none: its driver sees one index.
struct RingJournal {
  static constexpr unsigned kCapacity = 512;

  RingPosition from;        ///< where the ring stood before
  std::uint32_t count = 0;  ///< of `chains`; 0: nothing is being shown. Stored last
  std::uint32_t reserved = 0;
  std::array<UsedChain, kCapacity> chains;
};

/// How far a ring is; cache lines of its own, since the PMDs of a port write them at the same time.
struct alignas(64) RingProgress {
  RingPosition position;
  RingJournal journal;
};

/// In one store: whoever comes after a process that was killed finds the position of before or that of now.
inline void store_position(RingProgress& progress, const RingPosition& p) {
  const std::uint64_t word = std::uint64_t{p.next_avail} | std::uint64_t{p.next_used} << 16U |
                             std::uint64_t{p.avail_wrap} << 32U | std::uint64_t{p.used_wrap} << 40U;
  // release: what was shown to the driver comes first.
  __atomic_store_n(reinterpret_cast<std::uint64_t*>(&progress.position), word, __ATOMIC_RELEASE);
}

/// Where the ring's next available chain is, or was a moment ago if another PMD works on it.
inline std::uint16_t next_avail_of(const RingProgress& progress) {
  // relaxed: nothing else is concluded from it.
  return static_cast<std::uint16_t>(
      __atomic_load_n(reinterpret_cast<const std::uint64_t*>(&progress.position), __ATOMIC_RELAXED));
}

/// A number that no other Vring of this process has had.
[[nodiscard]] inline std::uint64_t new_vring_serial() {
  static std::atomic<std::uint64_t> last{0};
  // relaxed: only that it is unique matters.
  return last.fetch_add(1, std::memory_order_relaxed) + 1;
}

struct Vring {
  std::uint64_t serial = new_vring_serial();  ///< what a PMD has looked up in one is void in the next
  const GuestMemory* memory = nullptr;
  RingProgress* progress = nullptr;
  DirtyLog* log = nullptr;          ///< null unless LOG_ALL is on
  std::uint64_t log_used_addr = 0;  ///< guest-physical address of the used ring (packed: the descriptor ring)
  std::uint64_t log_wish_addr = 0;  ///< guest-physical address of our wish for kicks: used ring's flags, device area
  bool log_used = false;            ///< the front end asked for the ring's own writes to be logged

  std::uint32_t size = 0;  ///< entries; a power of two for split rings
  std::uint32_t net_header_size = kNetHeaderSize;
  bool enabled = false;  ///< SET_VRING_ENABLE; a guest's Tx ring that is not is emptied and dropped
  bool packed = false;
  bool event_idx = false;
  bool indirect = false;
  bool in_order = false;
  bool mergeable = false;
  bool rx_csum = false;  ///< the guest takes partial checksums (GUEST_CSUM)
  bool rx_tso4 = false;
  bool rx_tso6 = false;
  bool tx_csum = false;  ///< the guest may send partial checksums (CSUM)
  bool tx_tso4 = false;
  bool tx_tso6 = false;

  // Split. Host addresses of whole rings, each inside one region.
  split::Desc* desc = nullptr;
  split::RingHeader* avail = nullptr;
  split::RingHeader* used = nullptr;
  // Packed.
  packed::Desc* packed_desc = nullptr;
  packed::EventSuppress* driver_event = nullptr;  ///< the driver's wishes
  packed::EventSuppress* device_event = nullptr;  ///< ours

  int call_fd = -1;  ///< eventfd, non-blocking; -1: the driver polls
  int err_fd = -1;   ///< eventfd; -1: nobody wants to know
};

}  // namespace sluice::ports::vhost
