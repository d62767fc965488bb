// SharedState: what outlives a worker in memory: one memfd that the keeper holds and every worker maps.
//
// Plain structs at fixed places, zero when new. Each word has one writer at a time: the worker that works; of it, the
// thread named at each part. A worker may be killed between any two stores, so whatever takes more than one to say has
// an order in which it is said.
//
// A worker of another version may find it: kLayout is to be counted up with every change of anything that is in here,
// PortState, Counter and DropReason included. A worker that finds another number than its own does not touch it.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "flowtable/flow_key.hpp"
#include "ports/counters.hpp"
#include "ports/vhost/port_state.hpp"

namespace sluice::control {

/// Whether a worker still works; one for each of the two workers that there may be at a time.
struct Heartbeat {
  static constexpr std::size_t kMaxPmds = 64;
  struct Pmd {
    std::atomic<std::uint32_t> thread;  ///< its kernel id; 0: there is no such PMD
    std::atomic<std::uint64_t> loop;    ///< its loop counter, as the control thread has seen it: odd inside a loop
  };
  std::atomic<std::uint64_t> control;  ///< counted up by the control thread's timer
  std::atomic<std::uint32_t> control_thread;
  // What the worker's configuration says of recovery: for the keeper, which reads none.
  std::atomic<std::uint32_t> standby;
  std::atomic<std::uint32_t> hang_timeout_ms;  ///< 0: never
  std::atomic<std::uint32_t> long_work;        ///< not 0: the control thread does what may take long
  std::array<Pmd, kMaxPmds> pmds;
};

/// One port of any type, found by its name. Control thread, but for the rings' progress.
struct PortSlot {
  static constexpr std::size_t kNameBytes = 40;  ///< config: a name has at most 32 characters

  static constexpr std::uint32_t kFree = 0;
  static constexpr std::uint32_t kTaken = 1;  ///< and has no name yet; if its worker died then, for good or for little
  static constexpr std::uint32_t kNamed = 2;

  std::atomic<std::uint32_t> in_use;
  std::uint32_t reserved;
  std::array<char, kNameBytes> name;            ///< ended by 0
  alignas(4096) ports::vhost::PortState vhost;  ///< pages of its own; all zero unless it is a vhost-user port
};

/// One address that was learnt. Slow-path thread. `address` is stored last when an entry is made, and first, as 0, when
/// it goes; a move is one store of `place`.
struct FdbRecord {
  std::atomic<std::uint64_t> address;  ///< bit 63: in use; bits 48 to 59: VLAN; below: the MAC address
  std::atomic<std::uint64_t> place;    ///< bits 48 to 63: port slot; below: when it was last seen, CLOCK_MONOTONIC, ms
};

/// A text that is replaced as a whole: rules and ports added at run time. Control thread.
struct SharedText {
  static constexpr std::size_t kMaxBytes = std::size_t{16} << 20U;
  struct Buffer {
    std::uint64_t length;
    std::uint64_t checksum;
    std::array<char, kMaxBytes> text;
  };
  std::atomic<std::uint64_t> version;  ///< 0: none; else the text is in buffers[version % 2]. Stored last
  std::array<Buffer, 2> buffers;
};

/// What has been counted for one port by workers before, as sums over their PMDs.
struct CountedBefore {
  std::atomic<std::uint64_t> rx_packets, rx_bytes, tx_packets, tx_bytes, copies, segments;
  std::array<std::atomic<std::uint64_t>, ports::kDropReasons> drops;
};

struct SharedState {
  static constexpr std::uint64_t kMagic = 0x65'63'69'75'6c'73;  // "sluice"
  static constexpr std::uint32_t kLayout = 1;
  static constexpr std::size_t kMaxSlots = flowtable::kMaxPorts;
  static constexpr std::size_t kMaxFdbRecords = std::size_t{1} << 20U;

  std::uint64_t magic;
  std::uint32_t layout;
  std::uint32_t reserved;
  std::uint64_t bytes;                   ///< sizeof(SharedState)
  std::atomic<std::uint64_t> takeovers;  ///< workers that have taken up the ports, the first included
  std::array<Heartbeat, 2> heartbeats;
  std::array<CountedBefore, kMaxSlots> counted;                                              ///< by port slot
  std::array<std::array<ports::PortCounters, kMaxSlots>, Heartbeat::kMaxPmds> pmd_counters;  ///< of the worker's PMDs
  std::array<FdbRecord, kMaxFdbRecords> fdb;
  SharedText added_at_run_time;
  std::array<PortSlot, kMaxSlots> ports;
};
static_assert(std::is_standard_layout_v<SharedState>);
static_assert(std::is_trivially_destructible_v<SharedState>);
static_assert(std::atomic<std::uint64_t>::is_always_lock_free);

}  // namespace sluice::control
