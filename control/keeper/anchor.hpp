// Anchor: a process beside a worker that shares its memory and its descriptors and does nothing, so that the worker
// dies quickly.
//
// Of the threads of a process that is killed, the last takes down all of its memory and closes all of its descriptors
// before anybody hears that it has ended: some of that waits for a grace period of RCU, which takes tens of
// milliseconds. It may be the PMD that whoever follows waits for. With an anchor, the last is the anchor, and goes when
// the keeper lets it.
#pragma once

#include "control/urgency.hpp"
#include "ports/unique_fd.hpp"

namespace sluice::control {

/// Starts this process's anchor, which ends when the other end of `lifeline`, a stream socket, is shut down or closed;
/// our end stays open until both have ended: then the other end hangs up. Whatever our memory maps and our descriptors
/// hold stays in use until then. It is scheduled as said. False if it cannot be started: all of this is as it is
/// without.
bool drop_anchor(ports::UniqueFd lifeline, const Scheduling& scheduling);

}  // namespace sluice::control
