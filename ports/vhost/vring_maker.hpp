// From what a front end has said about a ring to a Vring that a PMD can use: every address and number checked.
// Pure but for reading the used index in guest memory; control thread.
#pragma once

#include <cstdint>
#include <string>

#include <tl/expected.hpp>

#include "ports/vhost/port_state.hpp"

namespace sluice::ports::vhost {

/// What a Vring refers to beside its ring's state. The fds and pointers are borrowed.
struct VringSurroundings {
  std::uint64_t features = 0;
  const GuestMemory* memory = nullptr;
  DirtyLog* log = nullptr;  ///< null: none was given
  RingProgress* progress = nullptr;
  int call_fd = -1;
  int err_fd = -1;
};

/// Empty if `size` entries can be a ring, else what is wrong.
[[nodiscard]] std::string check_ring_size(std::uint32_t size, std::uint64_t features);

/// The ring at its addresses in guest memory. Errors: size, alignment, not inside one region, outside of the log.
[[nodiscard]] tl::expected<Vring, std::string> make_vring(const RingState& state, const VringSurroundings& around);

/// Where a ring starts, by SET_VRING_BASE; a split ring whose memory says that this cannot be: by its used index.
[[nodiscard]] tl::expected<RingPosition, std::string> start_position(const RingState& state, const Vring& vring);

/// Makes the ring's progress say where it goes on, its worker having ended at whatever instant: vring_maker.cpp says
/// why this is right. What a packed ring's worker was showing to the driver is finished.
[[nodiscard]] tl::expected<void, std::string> resume_ring(const Vring& vring);

/// What GET_VRING_BASE answers for a ring that stands at `position`.
[[nodiscard]] std::uint32_t vring_base(const RingPosition& position, bool packed);

/// SET_VRING_BASE of a ring that was never used.
[[nodiscard]] std::uint32_t fresh_vring_base(bool packed);

}  // namespace sluice::ports::vhost
