// Search: the highest rate whose loss is at most so much, by bisection (RFC 2544, section 26.1), verified by a longer
// trial. Knows nothing of VMs: a trial is a function.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

namespace sluice::vmgen {

struct Trial {
  double rate = 0;  ///< of each sender
  double seconds = 0;
  std::uint64_t offered = 0;
  std::uint64_t skipped = 0;   ///< due, and not offered, since the generator itself was held up
  std::uint64_t expected = 0;  ///< offered, times the receivers of each frame
  std::uint64_t received = 0;
  std::uint64_t received_bytes = 0;
  bool passed = false;
  bool spoiled = false;  ///< too much was skipped for it to say anything of the switch
  bool verification = false;

  [[nodiscard]] double loss_percent() const {
    return expected == 0 ? 0 : 100.0 * static_cast<double>(expected - received) / static_cast<double>(expected);
  }
};

struct SearchSettings {
  double loss_percent = 0;
  double precision_percent = 1;
  double trial_seconds = 1;
  double highest = 0;  ///< rate that is not exceeded
};

struct SearchOutcome {
  std::optional<Trial> found;  ///< the verification of the highest rate that passed one; none if none did
  std::vector<Trial> trials;   ///< in the order made
  /// The generator could not offer the lowest rate above that one which was tried and did not pass: the switch may well
  /// forward more.
  bool generator_was_limit = false;
};

/// `attempt` makes a trial of a rate and a duration; none: it was stopped, which ends the search without a rate.
SearchOutcome search(const SearchSettings& settings,
                     const std::function<std::optional<Trial>(double rate, double seconds)>& attempt);

}  // namespace sluice::vmgen
