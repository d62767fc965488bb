// Cycles: what the benchmarks count beside time, in cycles of the time stamp counter.
#pragma once

#include <benchmark/benchmark.h>
#include <x86intrin.h>

#include <cstddef>
#include <cstdint>

namespace sluice::perf {

/// How many there were by now, of `items` an iteration.
[[nodiscard]] inline std::uint64_t done(const benchmark::State& state, std::size_t items) {
  return static_cast<std::uint64_t>(state.iterations()) * items;
}

/// Counts the cycles of the timed loop and reports them for one item, of which each iteration has `items`.
class Cycles {
 public:
  Cycles(benchmark::State& state, std::size_t items) : state_(state), items_(items), begin_(__rdtsc()) {}
  ~Cycles() {
    const std::uint64_t items = done(state_, items_);
    state_.counters["cycles"] = static_cast<double>(__rdtsc() - begin_) / static_cast<double>(items);
    state_.SetItemsProcessed(static_cast<std::int64_t>(items));
  }
  Cycles(const Cycles&) = delete;
  Cycles& operator=(const Cycles&) = delete;

 private:
  benchmark::State& state_;
  std::size_t items_;
  std::uint64_t begin_;
};

/// The same for the parts of an iteration between resume() and pause(), where what is in between is not of interest.
class PartialCycles {
 public:
  PartialCycles(benchmark::State& state, std::size_t items) : state_(state), items_(items) {}
  ~PartialCycles() {
    const std::uint64_t items = done(state_, items_);
    state_.counters["cycles"] = static_cast<double>(cycles_) / static_cast<double>(items);
    state_.SetItemsProcessed(static_cast<std::int64_t>(items));
  }
  PartialCycles(const PartialCycles&) = delete;
  PartialCycles& operator=(const PartialCycles&) = delete;

  void resume() { begin_ = __rdtsc(); }
  void pause() { cycles_ += __rdtsc() - begin_; }

 private:
  benchmark::State& state_;
  std::size_t items_;
  std::uint64_t begin_ = 0;
  std::uint64_t cycles_ = 0;
};

}  // namespace sluice::perf
