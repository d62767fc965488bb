// CapturedFrame: a frame of a capture file: its time and its bytes.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace sluice::control {

/// Nanoseconds since 1970, as captures have it.
using CaptureTime = std::int64_t;

struct CapturedFrame {
  CaptureTime time = 0;
  std::vector<std::uint8_t> bytes;

  bool operator==(const CapturedFrame&) const = default;
};

}  // namespace sluice::control
