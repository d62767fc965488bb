// two_pmds: what a second PMD adds where each has a core of its own: two PMDs, each between two guests of its own,
// alone and both at once, block by block in turn. Cycles of the time stamp counter, a packet; what the guests' drivers
// do is not counted, and little. One line of JSON.
#include <pthread.h>
#include <sched.h>
#include <x86intrin.h>

#include <CLI/CLI.hpp>
#include <array>
#include <atomic>
#include <barrier>
#include <chrono>
#include <cstdint>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <thread>
#include <vector>

#include "perf/micro/pipeline.hpp"

namespace sluice::perf {
namespace {

using Clock = std::chrono::steady_clock;

void move_to(unsigned core) {
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(core, &one);
  if (pthread_setaffinity_np(pthread_self(), sizeof one, &one) == 0) return;
  std::cerr << "core " << core << " cannot be used\n";
  std::exit(1);
}

/// Cycles a packet, from now on for so long.
double block(Pipeline& pipeline, Clock::duration length) {
  const auto end = Clock::now() + length;
  std::uint64_t cycles = 0;
  const std::uint64_t before = pipeline.received();
  while (Clock::now() < end) {
    for (unsigned i = 0; i < 100; ++i) {
      pipeline.before();
      const std::uint64_t begin = __rdtsc();
      pipeline.forward();
      cycles += __rdtsc() - begin;
      pipeline.after();
    }
  }
  return static_cast<double>(cycles) / static_cast<double>(pipeline.received() - before);
}

int run(int argc, char** argv) {
  CLI::App app("What a second PMD adds: cycles a packet of two PMDs, each alone and both at once");
  std::array<unsigned, 2> cores{0, 1};
  unsigned rounds = 20;
  unsigned milliseconds = 100;
  RingKind ring{.in_order = true};
  app.add_option("--cores", cores, "One for each")->delimiter(',');
  app.add_option("--rounds", rounds, "In each: the first alone, both, the second alone")->check(CLI::Range(1, 10'000));
  app.add_option("--block", milliseconds, "How long each of these takes, ms")->check(CLI::Range(1, 10'000));
  app.add_flag("--packed", ring.packed, "Packed rings");
  CLI11_PARSE(app, argc, argv);

  std::array<std::unique_ptr<Pipeline>, 2> pipelines;
  for (auto& pipeline : pipelines) pipeline = std::make_unique<Pipeline>(PipelineOptions{.ring = ring});
  std::array<std::vector<double>, 2> alone;
  std::array<std::vector<double>, 2> both;
  std::barrier<> in_step(2);
  const auto measure = [&](unsigned self) {
    move_to(cores[self]);
    const std::chrono::milliseconds length(milliseconds);
    for (unsigned round = 0; round < rounds; ++round) {
      in_step.arrive_and_wait();
      if (self == 0) alone[0].push_back(block(*pipelines[0], length));
      in_step.arrive_and_wait();
      both[self].push_back(block(*pipelines[self], length));
      in_step.arrive_and_wait();
      if (self == 1) alone[1].push_back(block(*pipelines[1], length));
    }
  };
  std::thread second(measure, 1);
  measure(0);
  second.join();
  std::cout << nlohmann::json{{"alone", alone}, {"both", both}} << "\n";
  return 0;
}

}  // namespace
}  // namespace sluice::perf

// NOLINTNEXTLINE(bugprone-exception-escape): what is not caught is to end it, and says so
int main(int argc, char** argv) { return sluice::perf::run(argc, argv); }
