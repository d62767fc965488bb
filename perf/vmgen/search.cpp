#include "perf/vmgen/search.hpp"

#include <algorithm>

namespace sluice::vmgen {
namespace {

constexpr double kVerificationTimes = 3;  ///< a verification is so much longer than a trial
constexpr unsigned kMostAttempts = 3;     ///< of a trial that the generator itself spoiled
constexpr double kSpoiledShare = 0.05;    ///< skipped frames by which it did
constexpr double kLowestShare = 0.001;    ///< of the highest rate: below it, nothing passes

bool spoiled(const Trial& trial) {
  return static_cast<double>(trial.skipped) > kSpoiledShare * static_cast<double>(trial.offered + trial.skipped);
}

class Bisection {
 public:
  Bisection(const SearchSettings& settings, const std::function<std::optional<Trial>(double, double)>& attempt)
      : settings_{settings}, attempt_{attempt} {}

  SearchOutcome run() {
    double passed = 0;
    double failed = settings_.highest;
    if (passes(settings_.highest, false)) passed = failed;
    while (!stopped_ && failed - passed > settings_.precision_percent / 100 * failed &&
           failed > kLowestShare * settings_.highest) {
      const double middle = (passed + failed) / 2;
      (passes(middle, false) ? passed : failed) = middle;
    }
    // What passed once may have been lucky: it goes down until a longer trial agrees.
    for (double rate = passed; !stopped_ && rate > kLowestShare * settings_.highest; rate *= step_down()) {
      if (passes(rate, true)) {
        outcome_.rate = rate;
        break;
      }
    }
    return std::move(outcome_);
  }

 private:
  [[nodiscard]] double step_down() const { return 1 - std::max(settings_.precision_percent, 1.0) / 100; }

  bool passes(double rate, bool verification) {
    const double seconds = settings_.trial_seconds * (verification ? kVerificationTimes : 1);
    for (unsigned attempts = 0; attempts < kMostAttempts; ++attempts) {
      std::optional<Trial> trial = attempt_(rate, seconds);
      if (!trial) {
        stopped_ = true;
        return false;
      }
      trial->verification = verification;
      trial->passed = !spoiled(*trial) && trial->loss_percent() <= settings_.loss_percent;
      outcome_.trials.push_back(*trial);
      if (!spoiled(*trial)) return trial->passed;
    }
    return false;
  }

  const SearchSettings& settings_;
  const std::function<std::optional<Trial>(double, double)>& attempt_;
  SearchOutcome outcome_;
  bool stopped_ = false;
};

}  // namespace

SearchOutcome search(const SearchSettings& settings,
                     const std::function<std::optional<Trial>(double rate, double seconds)>& attempt) {
  return Bisection{settings, attempt}.run();
}

}  // namespace sluice::vmgen
