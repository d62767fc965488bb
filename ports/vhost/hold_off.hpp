// HoldOff: for how long a peer that has done harm is kept away: each time for twice as long, until it has behaved for a
// while. Control thread.
#pragma once

#include <algorithm>
#include <chrono>

namespace sluice::ports::vhost {

class HoldOff {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  static constexpr std::chrono::seconds kShortest{1};
  static constexpr std::chrono::seconds kLongest{60};
  /// After so long without harm, it is the first time again.
  static constexpr std::chrono::seconds kQuiet{300};

  /// Keeps the peer away from now on; for how long.
  std::chrono::seconds begin(TimePoint now) {
    const bool again = length_.count() != 0 && now < until_ + kQuiet;
    length_ = again ? std::min(2 * length_, kLongest) : kShortest;
    until_ = now + length_;
    return length_;
  }
  /// How long it is kept away yet; zero or less: it is not.
  [[nodiscard]] std::chrono::nanoseconds left(TimePoint now) const { return until_ - now; }

 private:
  std::chrono::seconds length_{0};
  TimePoint until_{};
};

}  // namespace sluice::ports::vhost
