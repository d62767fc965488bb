// PortSlots: which slot of the shared state is which port's. Control thread.
//
// A slot is told by its port's name, but a vhost-user port by its socket first: that is where the VM is, and the port
// may have been given another name since. So a worker that comes after finds each port where it was.
//
// To look for slots changes nothing: another worker may have them, and go on. A slot is taken by settle().
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "control/error.hpp"
#include "control/keeper/shared_memory.hpp"

namespace sluice::control {

/// What a port is told by.
struct PortIdentity {
  std::string name;
  std::string socket;     ///< of a vhost-user port; else empty
  bool connects = false;  ///< to that socket, which is somebody else's
};

class PortSlots {
 public:
  explicit PortSlots(SharedMemory& shared) : shared_(shared), claimed_(SharedState::kMaxSlots) {}

  /// A slot for each of these, all different; those that are there already have theirs. An error if there are not
  /// enough.
  [[nodiscard]] Expected<std::vector<unsigned>> find(std::span<const PortIdentity> ports) const;
  /// From now on the slot is the port's. Only by the worker that works.
  void settle(unsigned slot, const std::string& name);
  /// The NUMA node of the slot's device, when it was open last; -1: not known.
  [[nodiscard]] int node(unsigned slot) const { return static_cast<int>(shared_->labels[slot].node) - 1; }
  void note_node(unsigned slot, int node) { shared_->labels[slot].node = static_cast<std::uint32_t>(node + 1); }
  /// The port is gone: nobody finds the slot by its name any more, but it is not yet to be had.
  void retire(unsigned slot);
  /// Nothing of the port is left: the slot is as if it had never been used.
  void release(unsigned slot);

  /// Slots in use, but by no port that was settled here: of ports that a worker before us had.
  [[nodiscard]] std::vector<unsigned> unclaimed() const;

 private:
  [[nodiscard]] bool is_at_socket(unsigned slot, const PortIdentity& port) const;
  [[nodiscard]] bool may_have(unsigned slot, const PortIdentity& port) const;
  [[nodiscard]] std::uint32_t state(unsigned slot) const;

  SharedMemory& shared_;
  std::vector<bool> claimed_;
};

}  // namespace sluice::control
