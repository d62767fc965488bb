// two_pmds: what a second PMD adds where each has a core of its own: two PMDs, each between two guests of its own,
// alone and both at once, block by block in turn. Cycles of the time stamp counter, a packet; what the guests' drivers
// do is not counted, and little. One line of JSON.
//
// Two cores of a virtual machine may be two threads of one. So arithmetic that needs no memory is measured in the same
// blocks: where it takes longer if both cores have it to do, there are no two cores, and nothing is shown.
#include <pthread.h>
#include <sched.h>
#include <x86intrin.h>

#include <CLI/CLI.hpp>
#include <array>
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

/// A block has so many parts of arithmetic, with one of packets behind each.
constexpr int kParts = 5;
constexpr int kMultiplications = 1000;

void move_to(unsigned core) {
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(core, &one);
  if (pthread_setaffinity_np(pthread_self(), sizeof one, &one) == 0) return;
  std::cerr << "core " << core << " cannot be used\n";
  std::exit(1);
}

/// Of one block: cycles a packet, and cycles of so many multiplications as are done at a time.
struct Cost {
  double packet = 0;
  double arithmetic = 0;
};

/// As many at once as a core can do.
void multiply() {
  std::array<std::uint64_t, 8> factors{3, 5, 7, 9, 11, 13, 15, 17};
  for (int i = 0; i < kMultiplications / 8; ++i) {
    for (auto& factor : factors) asm volatile("imul %0, %0" : "+r"(factor));
  }
}

/// From now on for so long.
Cost block(Pipeline& pipeline, Clock::duration length) {
  std::uint64_t forwarding = 0;
  std::uint64_t multiplying = 0;
  std::uint64_t multiplied = 0;
  const std::uint64_t before = pipeline.received();
  auto end = Clock::now();
  for (int part = 0; part < kParts; ++part) {
    end += length / kParts / 5;
    do {
      const std::uint64_t begin = __rdtsc();
      multiply();
      multiplying += __rdtsc() - begin;
      ++multiplied;
    } while (Clock::now() < end);
    end += length / kParts * 4 / 5;
    do {
      for (unsigned i = 0; i < 100; ++i) {
        pipeline.before();
        const std::uint64_t begin = __rdtsc();
        pipeline.forward();
        forwarding += __rdtsc() - begin;
        pipeline.after();
      }
    } while (Clock::now() < end);
  }
  const auto received = static_cast<double>(pipeline.received() - before);
  return {static_cast<double>(forwarding) / received,
          static_cast<double>(multiplying) / static_cast<double>(multiplied)};
}

/// By PMD, then by round.
struct Costs {
  std::array<std::vector<double>, 2> packet;
  std::array<std::vector<double>, 2> arithmetic;

  void add(unsigned pmd, const Cost& cost) {
    packet[pmd].push_back(cost.packet);
    arithmetic[pmd].push_back(cost.arithmetic);
  }
  [[nodiscard]] nlohmann::json json() const { return {{"packet", packet}, {"arithmetic", arithmetic}}; }
};

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
  Costs alone;
  Costs both;
  std::barrier<> in_step(2);
  const auto measure = [&](unsigned self) {
    move_to(cores[self]);
    const std::chrono::milliseconds length(milliseconds);
    for (unsigned round = 0; round < rounds; ++round) {
      in_step.arrive_and_wait();
      if (self == 0) alone.add(0, block(*pipelines[0], length));
      in_step.arrive_and_wait();
      both.add(self, block(*pipelines[self], length));
      in_step.arrive_and_wait();
      if (self == 1) alone.add(1, block(*pipelines[1], length));
    }
  };
  std::thread second(measure, 1);
  measure(0);
  second.join();
  std::cout << nlohmann::json{{"alone", alone.json()}, {"both", both.json()}} << "\n";
  return 0;
}

}  // namespace
}  // namespace sluice::perf

// NOLINTNEXTLINE(bugprone-exception-escape): what is not caught is to end it, and says so
int main(int argc, char** argv) { return sluice::perf::run(argc, argv); }
