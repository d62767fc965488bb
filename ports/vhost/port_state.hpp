// PortState: all of a vhost-user port that has to outlive the process that serves it, beside its file descriptors.
// One plain struct, so that it can live in memory that is handed to a successor.
//
// Written by the control thread; the rings' positions by the PMDs that own the queues.
#pragma once

#include <array>
#include <cstdint>
#include <type_traits>

#include "ports/vhost/guest_memory.hpp"
#include "ports/vhost/vring.hpp"

namespace sluice::ports::vhost {

/// SET_VRING_KICK names a ring by 8 bits.
inline constexpr unsigned kMaxRings = 256;
inline constexpr unsigned kMaxQueuePairs = kMaxRings / 2;

/// What the front end has said about one ring.
struct RingState {
  std::uint64_t descriptor = 0;  ///< user addresses, as SET_VRING_ADDR gave them
  std::uint64_t available = 0;
  std::uint64_t used = 0;
  std::uint64_t log_addr = 0;  ///< guest-physical address for the used ring's log
  std::uint32_t size = 0;      ///< 0: SET_VRING_NUM is still to come
  std::uint32_t base = 0;      ///< of SET_VRING_BASE, while not `started`
  std::uint8_t base_set = 0;
  std::uint8_t addresses_set = 0;
  std::uint8_t log = 0;      ///< VHOST_VRING_F_LOG
  std::uint8_t kicked = 0;   ///< SET_VRING_KICK has come: to be started as soon as all else is there
  std::uint8_t started = 0;  ///< its position is set, and PMDs work it whenever its memory is there
  std::uint8_t enabled = 0;
  std::uint16_t reserved = 0;
};

struct PortState {
  static constexpr std::uint32_t kLayout = 1;

  std::uint32_t layout = kLayout;
  std::uint32_t regions = 0;
  std::uint64_t features = 0;
  std::uint64_t protocol_features = 0;
  std::uint64_t log_size = 0;  ///< 0: no log
  std::uint64_t log_offset = 0;
  std::uint32_t mtu = 0;    ///< of NET_SET_MTU; 0: none
  std::uint8_t status = 0;  ///< of SET_STATUS
  std::array<std::uint8_t, 3> reserved{};
  std::array<RingState, kMaxRings> rings{};
  std::array<RingProgress, kMaxRings> progress{};
  std::array<MemoryRegion, GuestMemory::kMaxRegions> memory{};  ///< the first `regions` of them
};
static_assert(std::is_trivially_copyable_v<PortState>);

}  // namespace sluice::ports::vhost
