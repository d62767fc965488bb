// SharedMemory: the memfd of a SharedState, made, and mapped.
#pragma once

#include <utility>

#include "control/error.hpp"
#include "control/keeper/shared_state.hpp"
#include "ports/unique_fd.hpp"

namespace sluice::control {

class SharedMemory {
 public:
  /// A new one: all zero but for its head. Pages are taken as they are written to.
  [[nodiscard]] static Expected<ports::UniqueFd> create();
  /// Maps one that was made by this or by another version; an error if its layout is not this version's.
  [[nodiscard]] static Expected<SharedMemory> map(int fd);
  ~SharedMemory();
  SharedMemory(SharedMemory&& other) noexcept
      : state_(std::exchange(other.state_, nullptr)), fd_(std::move(other.fd_)) {}
  SharedMemory& operator=(SharedMemory&&) = delete;

  [[nodiscard]] SharedState* operator->() const { return state_; }
  [[nodiscard]] SharedState& operator*() const { return *state_; }

  /// A slot is as if it had never been used, and takes no memory; what was counted for it goes too. That it is free is
  /// stored last.
  void clear_slot(unsigned slot);

 private:
  SharedMemory(SharedState* state, ports::UniqueFd fd) : state_(state), fd_(std::move(fd)) {}

  SharedState* state_;
  ports::UniqueFd fd_;
};

}  // namespace sluice::control
