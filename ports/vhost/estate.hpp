// Estate: what a vhost-user port leaves to the process that comes after this one: its state in shared memory, and its
// file descriptors in the hands of somebody who outlives us.
//
// Control thread. A port writes its state in place and says which descriptors it holds; a later process finds both,
// whether this one ended in order, was killed or was replaced. Calls and writes to the state are seen by it in the
// order in which they were made, up to some instant: what kind of instant that may be, no one can choose.
#pragma once

#include <cstdint>

#include "ports/unique_fd.hpp"
#include "ports/vhost/port_state.hpp"

namespace sluice::ports::vhost {

/// A descriptor of a port. `index` tells memory regions (a slot of PortState::regions), dirty logs (of PortState::logs)
/// and rings apart; 0 for the others.
enum class Heirloom : std::uint8_t { listener, connection, memory, dirty_log, kick, call, err };

class Estate {
 public:
  virtual ~Estate() = default;

  /// In shared memory; outlives the port, and is the port's alone. All zero at first.
  [[nodiscard]] virtual PortState& state() = 0;
  /// A duplicate of `fd` is kept from now on, in the place of what was kept there. In the order of the calls; whatever
  /// was said before this process dies counts.
  virtual void keep(Heirloom kind, unsigned index, int fd) = 0;
  /// No more; nothing need have been kept there.
  virtual void forget(Heirloom kind, unsigned index) = 0;
  /// A duplicate of what a process before us keeps there, as of now; empty if nothing. Asked again, it answers again:
  /// a successor that was prepared while its predecessor still ran looks again when it takes over.
  [[nodiscard]] virtual UniqueFd take(Heirloom kind, unsigned index) = 0;
};

}  // namespace sluice::ports::vhost
