// Upcall and Command: all that a PMD and the slow path say to each other.
//
// A packet that misses stays with its PMD. The PMD makes a pending entry in its table, queues the packet on it (and
// those of the same flow that follow, so that their order is kept), and sends the key up. The slow path answers each
// upcall with exactly one command. Only the slow path has entries erased, so an EntryId it was told of stays valid
// until it says `remove`.
//
// Beside that, the slow path may have a PMD take a frame that control has made, as if it had come from a port.
#pragma once

#include <cstdint>

#include "datapath/spsc_ring.hpp"
#include "flowtable/action.hpp"
#include "flowtable/flow_table.hpp"

struct rte_mbuf;

namespace sluice::datapath {

struct Upcall {
  flowtable::FlowKey key;    ///< of the first packet, not masked; mask_generation is that of the entry
  flowtable::EntryId entry;  ///< the pending entry
  std::uint32_t frame_size;  ///< bytes
  std::uint64_t now_ns;      ///< the PMD's clock when the packet came
};

struct Command {
  enum class Kind : std::uint8_t {
    install,     ///< set the entry's decision, then send what waits on it (if masks have changed on the way: look it up
                 ///< again). An entry that is decided gets another decision.
    reclassify,  ///< erase the pending entry and look its packets up again: the masks have changed meanwhile
    remove,      ///< erase the entry; what waits on it is dropped
    inject,      ///< switch `frame` as one that was received from `port`, and count it there; there is no entry
  };
  Kind kind;
  flowtable::EntryId entry;
  const flowtable::Decision* decision = nullptr;  ///< install only; outlives the entry
  rte_mbuf* frame = nullptr;                      ///< inject only; the PMD's from then on, made by ports::to_mbuf
  flowtable::PortId port = flowtable::kNoPort;    ///< inject only
};

using UpcallRing = SpscRing<Upcall>;
using CommandRing = SpscRing<Command>;

}  // namespace sluice::datapath
