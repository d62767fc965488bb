// PortState: all of a vhost-user port that has to outlive the process that serves it, beside its file descriptors.
// One plain struct, so that it can live in memory that is handed to a successor.
//
// Written by the control thread; the rings' positions by the PMDs that own the queues. The writer may die between any
// two instructions, so that every change that takes more than one store is made up somewhere else first and becomes
// true by one store (commit), or is written down first and finished by whoever comes after (store_ring).
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <type_traits>

#include "ports/vhost/guest_memory.hpp"
#include "ports/vhost/message.hpp"
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
  std::uint8_t has_call = 0;  ///< an eventfd is kept for SET_VRING_CALL: without it the ring cannot go on
  std::uint8_t has_err = 0;   ///< likewise SET_VRING_ERR

  friend bool operator==(const RingState&, const RingState&) = default;
};

/// What a message leaves undone if the process dies in the middle of it.
enum class Phase : std::uint32_t {
  /// Nothing. A message that was being handled is still in the socket, and handling it once more does no harm.
  rest = 0,
  /// A reply is being sent, and the message taken out of the socket: whether that has happened cannot be known.
  settling,
  /// The connection is being closed.
  closing,
};

/// Where a dirty log may be kept: the one that counts, and the next while logs are changed.
inline constexpr unsigned kLogSlots = 2;

/// Regions that are there, one bit for each slot.
inline constexpr unsigned kRegionSlots = GuestMemory::kMaxRegions + kMaxTableRegions;
using RegionSet = std::array<std::uint64_t, (kRegionSlots + 63) / 64>;

struct alignas(4096) PortState {
  static constexpr std::uint32_t kLayout = 6;
  static constexpr std::size_t kPathSize = 112;

  std::uint32_t layout = 0;  ///< kLayout; 0: never used
  Phase phase = Phase::rest;
  /// Counted up before and after every change by the control thread, odd in between: a successor that has prepared
  /// itself by this state while it was in use knows whether it has to look again.
  std::uint64_t generation = 0;

  // Whose state this is: of a port with another socket it is not taken up.
  std::array<char, kPathSize> path{};  ///< of the socket, with a final 0
  std::uint8_t client = 0;
  /// Processes in a row that have begun to take the connection up, once it was theirs, or to handle its next message,
  /// and did not come to the end of it: those that died of it, and the one that does so now.
  std::uint8_t attempts = 0;
  std::array<std::uint8_t, 6> reserved{};
  std::uint64_t listener_device = 0;  ///< server: of the socket's file
  std::uint64_t listener_inode = 0;

  // The connection: what was negotiated, and the memory.
  std::uint64_t features = 0;
  std::uint64_t protocol_features = 0;
  std::array<LogDescription, kLogSlots> logs{};
  std::uint32_t mtu = 0;     ///< of NET_SET_MTU; 0: none
  std::uint32_t status = 0;  ///< of SET_STATUS, 8 bits
  std::uint32_t table = 0;   ///< which of `tables` counts, 0 or 1
  std::uint32_t staged = 0;  ///< 1 + index of the ring that is to become `next`; 0: none
  std::uint32_t node = 0;    ///< 1 + the NUMA node that the memory is on; 0: not known
  std::uint32_t log = 0;     ///< 1 + which of `logs` counts; 0: none
  RingState next;
  std::array<RegionSet, 2> tables{};
  std::array<MemoryRegion, kRegionSlots> regions{};
  std::array<RingState, kMaxRings> rings{};
  std::array<RingProgress, kMaxRings> progress{};
};
static_assert(std::is_trivially_copyable_v<PortState>);

/// Stores a word of the state, after everything that was written before and before everything that is written later.
/// That is what a successor sees of a process that was killed: what its instructions did, in their order.
template <typename T>
void commit(T& word, T value) {
  static_assert(sizeof(T) <= 8);
  std::atomic_signal_fence(std::memory_order_seq_cst);
  // release: for a successor that prepares itself while we still run.
  std::atomic_ref<T>(word).store(value, std::memory_order_release);
  std::atomic_signal_fence(std::memory_order_seq_cst);
}

/// Makes `next` the state of a ring, wholly or not at all.
void store_ring(PortState& state, unsigned index, const RingState& next);
/// Finishes a store_ring() in which the process before us died.
void finish_store(PortState& state);
/// Forgets the connection; what was kept for it is the caller's to forget.
void clear_connection(PortState& state);

/// For as long as it lives, the process does what it may die of, as each that follows it may again.
class Attempt {
 public:
  /// So many may die, one after the other, before the connection is closed: one or two may have been killed by chance.
  static constexpr std::uint8_t kMost = 3;

  /// `after`: what is counted when it is done.
  Attempt(PortState& state, std::uint8_t after) : state_(state), after_(after) {
    commit(state_.attempts, static_cast<std::uint8_t>(state_.attempts + 1));
  }
  ~Attempt() {
    // Closed meanwhile, the connection is of no concern to the next one.
    if (state_.attempts != 0) commit(state_.attempts, after_);
  }
  Attempt(const Attempt&) = delete;
  Attempt& operator=(const Attempt&) = delete;

 private:
  PortState& state_;
  std::uint8_t after_;
};

/// Counts the generation up at its begin, to an odd number, and at its end, to an even one: whoever was killed in
/// between has left an odd one.
class Change {
 public:
  explicit Change(PortState& state) : state_(state) { commit(state_.generation, (state_.generation + 1) | 1U); }
  ~Change() { commit(state_.generation, (state_.generation | 1U) + 1); }
  Change(const Change&) = delete;
  Change& operator=(const Change&) = delete;

 private:
  PortState& state_;
};

}  // namespace sluice::ports::vhost
