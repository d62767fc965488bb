// CrashLoop: how long to wait before the next worker is started. At first not at all; when workers die again and again,
// longer and longer, so that a worker that cannot live does not eat the machine nor fill the log. Pure; time is told.
#pragma once

#include <algorithm>
#include <chrono>
#include <deque>

namespace sluice::control {

class CrashLoop {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr std::size_t kFreeCrashes = 5;  ///< so many within kWindow are followed at once
  static constexpr std::chrono::seconds kWindow{10};
  static constexpr std::chrono::milliseconds kFirstDelay{100};
  static constexpr std::chrono::milliseconds kLongestDelay{5000};

  /// A worker has died that was started `lived` ago; how long to wait.
  std::chrono::milliseconds crashed(Clock::time_point now, Clock::duration lived) {
    if (lived >= kWindow) {
      crashes_.clear();
      delay_ = {};
    }
    crashes_.push_back(now);
    while (now - crashes_.front() > kWindow) crashes_.pop_front();
    if (delay_.count() > 0) {
      delay_ = std::min(2 * delay_, kLongestDelay);
    } else if (crashes_.size() > kFreeCrashes) {
      delay_ = kFirstDelay;
    }
    return delay_;
  }

 private:
  std::deque<Clock::time_point> crashes_;
  std::chrono::milliseconds delay_{0};
};

}  // namespace sluice::control
