// Pacer: how many frames are due, at a rate, by the TSC. Open loop: it asks nobody whether the last ones got away.
// Who comes too late by more than a few frames has missed them: they are skipped and counted, and not sent in a rush.
#pragma once

#include <algorithm>
#include <cstdint>

namespace sluice::vmgen {

class Pacer {
 public:
  static constexpr std::uint64_t kMostBehind = 128;

  /// `rate` a second, above 0; nothing is due before `now`.
  void begin(double rate, double hz, std::uint64_t now) {
    cycles_each_ = hz / rate;
    start_ = now;
    passed_ = 0;
    skipped_ = 0;
  }

  /// At most `most`; what is due and not given stays due.
  std::uint32_t due(std::uint64_t now, std::uint32_t most) {
    const auto all = static_cast<std::uint64_t>(static_cast<double>(now - start_) / cycles_each_);
    std::uint64_t behind = all > passed_ ? all - passed_ : 0;
    if (behind > kMostBehind) {
      const std::uint64_t missed = behind - kMostBehind;
      skipped_ += missed;
      passed_ += missed;
      behind = kMostBehind;
    }
    const auto given = static_cast<std::uint32_t>(std::min<std::uint64_t>(behind, most));
    passed_ += given;
    return given;
  }

  [[nodiscard]] std::uint64_t skipped() const { return skipped_; }

 private:
  double cycles_each_ = 1;
  std::uint64_t start_ = 0;
  std::uint64_t passed_ = 0;
  std::uint64_t skipped_ = 0;
};

}  // namespace sluice::vmgen
