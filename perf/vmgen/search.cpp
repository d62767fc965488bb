#include "perf/vmgen/search.hpp"

#include <algorithm>

namespace sluice::vmgen {
namespace {

constexpr double kVerificationTimes = 3;  ///< a verification is so much longer than a trial
constexpr unsigned kMostAttempts = 3;     ///< of a trial that the generator itself spoiled
constexpr double kSpoiledShare = 0.05;    ///< skipped frames by which it did
constexpr double kLargestStep = 0.5;      ///< down, of the rate, after a verification that failed
constexpr double kLowestShare = 0.001;    ///< of the highest rate: below it, nothing passes

bool spoiled(const Trial& trial) {
  return static_cast<double>(trial.skipped) > kSpoiledShare * static_cast<double>(trial.offered + trial.skipped);
}

class Bisection {
 public:
  Bisection(const SearchSettings& settings, const std::function<std::optional<Trial>(double, double)>& attempt)
      : settings_{settings}, attempt_{attempt} {}

  SearchOutcome run() {
    bisect(passes(settings_.highest, false) ? settings_.highest : 0, settings_.highest, false);
    // What passed once may have been lucky: it goes down, by more each time, until a longer trial agrees.
    double rate = passed_;
    double failed = passed_;
    double step = settings_.precision_percent / 100;
    while (!stopped_ && rate > lowest()) {
      if (passes(rate, true)) {
        bisect(rate, failed, true);
        break;
      }
      failed = rate;
      rate *= 1 - step;
      step = std::min(2 * step, kLargestStep);
    }
    if (stopped_) outcome_.found.reset();
    outcome_.generator_was_limit = generator_was_limit();
    return std::move(outcome_);
  }

 private:
  [[nodiscard]] bool generator_was_limit() const {
    const double found = outcome_.found ? outcome_.found->rate : 0;
    const Trial* next = nullptr;
    for (const Trial& trial : outcome_.trials) {
      if (trial.passed || trial.rate <= found) continue;
      if (next == nullptr || trial.rate <= next->rate) next = &trial;  // of one rate the last attempt
    }
    return next != nullptr && next->spoiled;
  }
  [[nodiscard]] double lowest() const { return kLowestShare * settings_.highest; }

  /// Between a rate that passed and one that did not, or the same.
  void bisect(double passed, double failed, bool verification) {
    while (!stopped_ && failed - passed > settings_.precision_percent / 100 * failed && failed > lowest()) {
      const double middle = (passed + failed) / 2;
      (passes(middle, verification) ? passed : failed) = middle;
    }
    passed_ = passed;
  }

  bool passes(double rate, bool verification) {
    const double seconds = settings_.trial_seconds * (verification ? kVerificationTimes : 1);
    for (unsigned attempts = 0; attempts < kMostAttempts; ++attempts) {
      std::optional<Trial> trial = attempt_(rate, seconds);
      if (!trial) {
        stopped_ = true;
        return false;
      }
      trial->verification = verification;
      trial->spoiled = spoiled(*trial);
      trial->passed = !trial->spoiled && trial->loss_percent() <= settings_.loss_percent;
      outcome_.trials.push_back(*trial);
      if (verification && trial->passed) outcome_.found = *trial;  // rates that pass are tried in ascending order
      if (!trial->spoiled) return trial->passed;
    }
    return false;
  }

  const SearchSettings& settings_;
  const std::function<std::optional<Trial>(double, double)>& attempt_;
  SearchOutcome outcome_;
  double passed_ = 0;  ///< the highest rate that the last bisection saw pass
  bool stopped_ = false;
};

}  // namespace

SearchOutcome search(const SearchSettings& settings,
                     const std::function<std::optional<Trial>(double rate, double seconds)>& attempt) {
  return Bisection{settings, attempt}.run();
}

}  // namespace sluice::vmgen
