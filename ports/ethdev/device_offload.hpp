// What a frame still needs, in the terms of DPDK: from a virtio-net header's words to an mbuf's flags and lengths.
#pragma once

#include <cstdint>

#include "ports/frame.hpp"

struct rte_mbuf;

namespace sluice::ports::ethdev {

/// Asks the device for what `offload` leaves to be done, and clears what Rx left in the mbuf's flags. A checksum that
/// devices have no flag for (of a tunnel's inner header) is completed here. False if it cannot be done.
[[nodiscard]] bool ask_device(rte_mbuf& mbuf, const Offload& offload, std::uint16_t l3_offset, std::uint16_t l4_offset);

}  // namespace sluice::ports::ethdev
