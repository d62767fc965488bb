// execute: carries out the actions of a flow on its frames, and keeps its checksums right while it does. Runs on a PMD.
#pragma once

#include <cstdint>
#include <span>

#include "datapath/egress.hpp"
#include "flowtable/action.hpp"
#include "ports/counters.hpp"
#include "ports/frame.hpp"

namespace sluice::datapath {

/// All lists but those of one output and nothing else.
void execute_list(ports::Frame& frame, const flowtable::ActionList& list, std::uint32_t flow_hash, Egress& egress,
                  ports::PortCounters& in_counters);

/// Carries out `list` on `frames`, one after the other; at most kBurstSize, which parse() has seen and whose `outputs`
/// are 0. Outputs are staged in `egress`; they refer to the frames until egress.flush(). A frame that goes nowhere is
/// counted in `in_counters`, which are the in-port's, as are outputs beyond the first (copies).
///
/// An action on a field that the frame does not have does nothing. Checksums follow each change incrementally
/// (RFC 1624), so that a wrong one stays wrong; those that a guest left to be completed stay to be completed.
inline void execute(std::span<ports::Frame* const> frames, const flowtable::ActionList& list, std::uint32_t flow_hash,
                    Egress& egress, ports::PortCounters& in_counters) {
  if (const flowtable::PortId port = list.only_output(); port != flowtable::kNoPort) [[likely]] {
    egress.output(frames, port, flow_hash, in_counters);
  } else {
    for (ports::Frame* frame : frames) execute_list(*frame, list, flow_hash, egress, in_counters);
  }
}

/// The same for one frame.
inline void execute(ports::Frame& frame, const flowtable::ActionList& list, std::uint32_t flow_hash, Egress& egress,
                    ports::PortCounters& in_counters) {
  ports::Frame* const only = &frame;
  execute({&only, 1}, list, flow_hash, egress, in_counters);
}

}  // namespace sluice::datapath
