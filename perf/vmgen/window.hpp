// Window: how many frames a sender may have on their way, as TCP has it: what has come makes room for more.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>

namespace sluice::vmgen {

class Window {
 public:
  /// `frames` 0: as many as there are. `patience`, in TSC cycles: what has not come while nothing came for so long is
  /// lost.
  Window(std::uint32_t frames, std::uint64_t patience) : frames_{frames}, patience_{patience} {}

  /// A new run.
  void begin(std::uint64_t now) {
    last_ = now;
    came_ = 0;
    lost_ = 0;
  }

  /// Frames that may be sent, where so many have been sent and have come in this run.
  [[nodiscard]] std::uint32_t room(std::uint64_t sent, std::uint64_t came, std::uint64_t now) {
    if (frames_ == 0) return std::numeric_limits<std::uint32_t>::max();
    const std::uint64_t missing = sent - std::min(sent, came);
    lost_ = std::min(lost_, missing);  // some of them were late
    if (came != came_ || missing == lost_) {
      came_ = came;
      last_ = now;
    } else if (now - last_ > patience_) {
      lost_ = missing;
      last_ = now;
    }
    const std::uint64_t on_their_way = missing - lost_;
    return frames_ - static_cast<std::uint32_t>(std::min<std::uint64_t>(frames_, on_their_way));
  }

 private:
  std::uint32_t frames_;
  std::uint64_t patience_;
  std::uint64_t last_ = 0;  ///< when something came, or nothing was on its way
  std::uint64_t came_ = 0;
  std::uint64_t lost_ = 0;
};

}  // namespace sluice::vmgen
