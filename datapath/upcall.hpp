// Upcall and Command: all that a PMD and the slow path say to each other.
//
// A packet that misses stays with its PMD. The PMD makes a pending entry in its table, queues the packet on it (and
// those of the same flow that follow, so that their order is kept), and sends the key up. The slow path answers each
// upcall with exactly one command. Only the slow path has entries erased, so an EntryId it was told of stays valid
// until it says `remove`.
#pragma once

#include <cstdint>

#include "datapath/spsc_ring.hpp"
#include "flowtable/action.hpp"
#include "flowtable/flow_table.hpp"

namespace sluice::datapath {

struct Upcall {
  flowtable::FlowKey key;     ///< of the first packet, not masked; mask_generation is that of the entry
  flowtable::EntryId entry;   ///< the pending entry
  std::uint32_t frame_size;   ///< bytes
  std::uint64_t now_ns;       ///< the PMD's clock when the packet came
};

struct Command {
  enum class Kind : std::uint8_t {
    install,     ///< set the entry's decision, then send what waits on it. An entry that is decided gets another decision.
    reclassify,  ///< erase the pending entry and look its packets up again: the masks have changed meanwhile
    remove,      ///< erase the entry; what waits on it is dropped
  };
  Kind kind;
  flowtable::EntryId entry;
  const flowtable::Decision* decision;  ///< install only; outlives the entry
};

using UpcallRing = SpscRing<Upcall>;
using CommandRing = SpscRing<Command>;

}  // namespace sluice::datapath
