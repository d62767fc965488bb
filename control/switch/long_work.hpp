// LongWork: for as long as one lives, the keeper is patient with the control thread.
#pragma once

#include <cstdint>

#include "control/keeper/shared_state.hpp"

namespace sluice::control {

/// A device may take its time to open or to close, on the control thread.
class LongWork {
 public:
  explicit LongWork(Heartbeat& heartbeat) : heartbeat_(heartbeat) { set(1); }
  ~LongWork() { set(0); }
  LongWork(const LongWork&) = delete;
  LongWork& operator=(const LongWork&) = delete;

 private:
  void set(std::uint32_t on) { heartbeat_.long_work.store(on, std::memory_order_relaxed); }
  Heartbeat& heartbeat_;
};

}  // namespace sluice::control
