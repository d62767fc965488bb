// SharedState: what outlives a worker in memory: one memfd that the keeper holds and every worker maps.
//
// Plain structs at fixed places, zero when new. Each word has one writer at a time: the worker that works (one that
// makes itself ready beside it reads only, but for its heartbeat); of it, the thread named at each part. A worker may
// be killed between any two stores, so whatever takes more than one to say has an order in which it is said.
//
// Most of it is never used, and takes no memory: even to read a page that was never written would make it. So what is
// there is found by counts, and not by looking everywhere.
//
// A worker of another version may find it: kLayout is to be counted up with every change of anything that is in here,
// PortState, Counter and DropReason included. A worker that finds another number than its own does not touch it.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "control/keeper/change_log.hpp"
#include "control/slowpath/fdb_store.hpp"
#include "control/switch/port_tallies.hpp"
#include "datapath/grace.hpp"
#include "flowtable/flow_key.hpp"
#include "flowtable/hash.hpp"
#include "ports/vhost/port_state.hpp"

namespace sluice::control {

/// Whether a worker still works; one for each of the two workers that there may be at a time.
struct Heartbeat {
  static constexpr std::size_t kMaxPmds = 64;
  struct Pmd {
    datapath::LoopCounter loop;         ///< which the PMD itself counts in
    std::atomic<std::uint32_t> thread;  ///< its kernel id; 0: there is no such PMD
  };
  std::atomic<std::uint64_t> control;  ///< counted up by the control thread's timer
  std::atomic<std::uint32_t> control_thread;
  // What the worker's configuration says of recovery: for the keeper, which reads none.
  std::atomic<std::uint32_t> standby;
  std::atomic<std::uint32_t> hang_timeout_ms;  ///< 0: never
  std::atomic<std::uint32_t> idle_sleep_ms;    ///< the longest that a PMD sleeps, rounded up; 0: it does not
  std::atomic<std::uint32_t> long_work;        ///< not 0: the control thread does what may take long
  std::uint32_t reserved;
  std::array<Pmd, kMaxPmds> pmds;
};

/// One port of any type, whose number (its slot) is its id. Control thread.
struct PortLabel {
  static constexpr std::size_t kNameBytes = 40;  ///< config: a name has at most 32 characters

  static constexpr std::uint32_t kFree = 0;
  static constexpr std::uint32_t kNamed = 1;    ///< stored after the name, unless the port is given another
  static constexpr std::uint32_t kLeaving = 2;  ///< its port is gone; what is left of it may still be in use

  std::atomic<std::uint32_t> in_use;
  std::uint32_t node;                 ///< NUMA node of a device plus 1, when it was open last; 0: not known
  std::array<char, kNameBytes> name;  ///< ended by 0
};

/// The rings' positions are the PMDs', the rest the control thread's. Pages of its own; all zero unless a vhost-user
/// port has the slot.
struct alignas(4096) VhostSlot {
  ports::vhost::PortState state;
};

struct SharedState {
  static constexpr std::uint64_t kMagic = 0x65'63'69'75'6c'73;  // "sluice"
  static constexpr std::uint32_t kLayout = 9;
  static constexpr std::size_t kMaxSlots = flowtable::kMaxPorts;

  std::uint64_t magic;
  std::uint32_t layout;
  std::uint32_t reserved;
  std::uint64_t bytes;                   ///< sizeof(SharedState)
  std::atomic<std::uint64_t> takeovers;  ///< workers that have taken up the ports, the first included
  std::array<Heartbeat, 2> heartbeats;
  std::array<PortLabel, kMaxSlots> labels;  ///< by slot, as everything of a port
  PortTallies tallies;
  FdbMemory fdb;
  ChangeLogMemory changes;  ///< rules and ports that were added and deleted at run time
  /// What flows are hashed with, the same for all workers, so that none goes to another of its receiver's queues when a
  /// worker follows another. Made by the first one.
  flowtable::HashSecret flow_secret;
  std::atomic<std::uint64_t> has_flow_secret;  ///< stored after it
  std::array<VhostSlot, kMaxSlots> vhost;
};
static_assert(std::is_standard_layout_v<SharedState>);
static_assert(std::is_trivially_destructible_v<SharedState>);
static_assert(std::atomic<std::uint64_t>::is_always_lock_free);

}  // namespace sluice::control
