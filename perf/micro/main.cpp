// main of the programs NAME_benchmark; the options are Google Benchmark's.
#include <benchmark/benchmark.h>

#include "perf/micro/benchmarks.hpp"

int main(int argc, char** argv) {
  sluice::perf::register_all();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
