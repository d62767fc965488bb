// vmgen: starts, lets the VMs greet each other, runs or searches, reports. Everything happens on this one thread, but
// for the EAL's interrupt thread, which keeps the links.
#include <sched.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iostream>
#include <optional>
#include <string>
#include <vector>

#include <rte_cycles.h>
#include <rte_eal.h>

#include "perf/vmgen/generator.hpp"
#include "perf/vmgen/memory.hpp"
#include "perf/vmgen/options.hpp"
#include "perf/vmgen/report.hpp"
#include "perf/vmgen/vm.hpp"

namespace sluice::vmgen {
namespace {

enum Exit : int { kReported = 0, kCannotStart = 1, kNotReady = 3 };

std::atomic<bool> stop{false};
std::atomic<bool> attaching{true};

void on_stop(int) {
  stop = true;
  // The driver's accept() of a switch's first connection is not to be woken: while it waits, there is nothing to
  // report.
  if (attaching) _exit(kNotReady);
}

void on_timeout(int) {
  if (!attaching) return;
  constexpr char kText[] = "vmgen: not every VM has been attached within --timeout\n";
  [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, kText, sizeof kText - 1);
  _exit(kNotReady);
}

void watch_signals(double timeout) {
  struct sigaction action {};
  action.sa_handler = on_stop;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  action.sa_handler = on_timeout;
  sigaction(SIGALRM, &action, nullptr);
  alarm(static_cast<unsigned>(timeout) + 1);
}

/// Of this thread alone: those that keep the links run when it naps.
bool come_ahead_of_others() {
  const sched_param priority{.sched_priority = sched_get_priority_min(SCHED_FIFO)};
  return sched_setscheduler(0, SCHED_FIFO, &priority) == 0;
}

void print(const Json& line) { std::cout << line.dump() << std::endl; }

int fail(Exit code, const std::string& message) {
  std::cerr << "vmgen: " << message << '\n';
  return code;
}

bool write_report(const Options& options, const Json& report) {
  if (options.json == "-") {
    print(report);
    return true;
  }
  std::cout << text_of(report) << std::flush;
  if (options.json.empty()) return true;
  std::ofstream file{options.json};
  file << report.dump(2) << '\n';
  file.close();
  return !file.fail();
}

Json measure(const Options& options, Generator& generator, double hz) {
  const auto event = [](const char* name) {
    return [name](double clock) { print({{"event", name}, {"clock_s", clock}}); };
  };
  std::vector<Counts> before;
  const RunResult result =
      generator.run({.rate = options.rate,
                     .seconds = options.duration,
                     .interval = [&](const Glimpse& seen) { print(interval_of(options, seen, before, hz)); },
                     .started = event("start"),
                     .ended = event("stop")});
  return report_of(options, result, nullptr, hz);
}

/// What was offered in a run, and came.
Trial trial_of(const Options& options, const RunResult& result) {
  Counts all;
  for (const VmResult& vm : result.vms) all += vm.counts;
  const std::size_t receivers = options.pattern == Pattern::kFlood ? options.vms.size() - 1 : 1;
  return {.rate = result.rate,
          .seconds = result.seconds,
          .offered = all.sender.sent + all.sender.refused,
          .skipped = all.sender.skipped,
          .expected = all.expected + all.sender.refused * receivers,
          .received = all.receiver.received,
          .received_bytes = all.receiver.received_bytes};
}

Json find_rate(const Options& options, Generator& generator, double hz) {
  // No open loop gets more through than rings that are always full.
  RunResult last = generator.run({.rate = 0, .seconds = options.search_trial});
  double fastest = 0;
  for (const VmResult& vm : last.vms)
    fastest = std::max(fastest, static_cast<double>(vm.counts.sender.sent) / last.seconds);
  const SearchSettings settings{.loss_percent = options.search_loss_percent,
                                .precision_percent = options.search_precision_percent,
                                .trial_seconds = options.search_trial,
                                .highest = fastest};
  const SearchOutcome outcome = search(settings, [&](double rate, double seconds) -> std::optional<Trial> {
    if (stop) return std::nullopt;
    last = generator.run({.rate = rate, .seconds = seconds});
    const Trial trial = trial_of(options, last);
    std::cerr << "vmgen: " << rate << " a second: " << trial.loss_percent() << " % lost\n";
    return stop ? std::nullopt : std::optional{trial};
  });
  return report_of(options, last, search_of(options, outcome), hz);
}

int run(const Options& options) {
  watch_signals(options.timeout);
  const double began = monotonic_seconds();
  if (auto started = start_eal(options); !started) return fail(kCannotStart, started.error());
  auto pools = make_pools(options);
  if (!pools) return fail(kCannotStart, pools.error());
  wait_for_turns_in_delays();
  std::vector<Vm> vms;
  vms.reserve(options.vms.size());
  for (std::size_t i = 0; i < options.vms.size(); ++i) {
    auto vm = Vm::open(options, i, *pools->receive[i], [] { return stop.load(); });
    if (!vm) return fail(kCannotStart, vm.error());
    vms.push_back(std::move(*vm));
  }
  attaching = false;
  if (options.nap_us > 0 && !come_ahead_of_others()) {
    return fail(kCannotStart,
                std::string{"--nap: no real-time priority: "} + std::strerror(errno) + "; it needs CAP_SYS_NICE");
  }
  Generator generator{options, vms, *pools, stop};
  if (auto heard = generator.greet(std::max(1.0, options.timeout - (monotonic_seconds() - began))); !heard) {
    return fail(kNotReady, "not ready: " + heard.error());
  }
  print({{"event", "ready"}, {"clock_s", monotonic_seconds()}});
  if (options.warm_up > 0) generator.run({.rate = options.rate, .seconds = options.warm_up});
  const auto hz = static_cast<double>(rte_get_tsc_hz());
  const Json report = options.search ? find_rate(options, generator, hz) : measure(options, generator, hz);
  return write_report(options, report) ? kReported
                                       : fail(kCannotStart, "--json '" + options.json + "' cannot be written");
}

}  // namespace
}  // namespace sluice::vmgen

// NOLINTNEXTLINE(bugprone-exception-escape): what is not caught is to end it, and says so
int main(int argc, char** argv) {
  const auto options = sluice::vmgen::parse_options(argc, argv);
  if (!options) return sluice::vmgen::fail(sluice::vmgen::kCannotStart, options.error());
  return sluice::vmgen::run(*options);
}
