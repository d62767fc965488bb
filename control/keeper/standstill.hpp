// Standstill: whether a worker's threads still move, from what its heartbeat says at one look after another.
//
// Time is counted in looks, not by a clock: when the whole machine was asleep or busy, so were the looks.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "control/keeper/shared_state.hpp"

namespace sluice::control {

class Standstill {
 public:
  struct Found {
    std::string thread;  ///< "the control thread", "PMD 0"
    int kernel_id;
    unsigned looks;  ///< for which it has stood still
  };
  /// A control thread that says that it does what may take long is given so much more time.
  static constexpr unsigned kLongWork = 60;

  /// `patience`: how many looks there are in a hang_timeout, or, with `interval`, after how many, so far apart, a
  /// thread stands still.
  explicit Standstill(unsigned patience, std::chrono::milliseconds interval = {})
      : patience_(patience), interval_(interval) {}
  /// A thread that has not moved for so many looks, this one included. `control`: whether the control thread counts
  /// yet.
  [[nodiscard]] std::optional<Found> look(const Heartbeat& heartbeat, bool control);
  /// PMDs that have been inside of one loop since the look before the last: a peer may hold them up.
  [[nodiscard]] std::vector<int> held_up(const Heartbeat& heartbeat) const;
  /// Another worker: begins anew.
  void reset() { *this = Standstill(patience_, interval_); }

 private:
  struct Seen {
    std::uint64_t value = 0;
    unsigned looks = 0;  ///< at which it was the same
  };
  /// `patience` 0: it may stand for as long as it likes.
  static bool stands(Seen& seen, std::uint64_t value, unsigned patience);
  /// Of a PMD that is asleep: as long more as the configuration lets it sleep.
  [[nodiscard]] unsigned patience_asleep(const Heartbeat& heartbeat) const;

  unsigned patience_;
  std::chrono::milliseconds interval_;
  Seen control_;
  std::array<Seen, Heartbeat::kMaxPmds> pmds_{};
};

}  // namespace sluice::control
