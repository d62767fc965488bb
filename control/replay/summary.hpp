// The summary of a replay: what went in and out of each port, and why frames were dropped.
#pragma once

#include <cstdint>
#include <string>

#include "control/config/config.hpp"
#include "control/replay/replayed_switch.hpp"

namespace sluice::control {

struct ReplayTimes {
  std::uint64_t frames = 0;
  CaptureTime first = 0;  ///< of the captures
  CaptureTime last = 0;
  double seconds = 0;  ///< that it took
};

[[nodiscard]] std::string summary(const Config& config, const ReplayedSwitch& replayed, const ReplayTimes& times);

/// Every frame has gone somewhere: in + copies + segments = out + dropped. Empty if so, else the numbers.
[[nodiscard]] std::string unaccounted(const Config& config, const ReplayedSwitch& replayed);

}  // namespace sluice::control
