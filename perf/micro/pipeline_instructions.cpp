// The whole way of a packet, run under callgrind, which counts the instructions of each case from a guest's ring to
// another's. check_instructions.py starts it and compares; by itself it only says how many packets each case has.
#include <valgrind/callgrind.h>

#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "flowtable/mask.hpp"
#include "perf/micro/pipeline.hpp"

namespace sluice::perf {
namespace {

constexpr unsigned kRounds = 64;  // each ring goes round eight times

const std::vector<std::pair<std::string, PipelineOptions>>& cases() {
  static const std::string kOnAddresses = "priority=10,ip,nw_src=10.250.250.250,actions=drop";
  static const std::vector<std::pair<std::string, PipelineOptions>> all{
      {"split-64", {}},
      {"packed-64", {.ring = {.packed = true}}},
      {"split-64-in-order", {.ring = {.in_order = true}}},
      {"packed-64-in-order", {.ring = {.packed = true, .in_order = true}}},
      {"split-512", {.size = 512}},
      {"split-1514", {.size = 1514}},
      {"packed-1514", {.ring = {.packed = true}, .size = 1514}},
      {"split-64-256-flows", {.flows = FakeRing::kSize, .rule = kOnAddresses}},
  };
  return all;
}

int run() {
  std::printf("instructions %s\n", std::string(flowtable::instruction_set()).c_str());
  for (const auto& [name, options] : cases()) {
    Pipeline pipeline(options);
    const std::uint64_t before = pipeline.received();
    CALLGRIND_ZERO_STATS;
    for (unsigned i = 0; i < kRounds; ++i) {
      pipeline.before();
      CALLGRIND_TOGGLE_COLLECT;
      pipeline.forward();
      CALLGRIND_TOGGLE_COLLECT;
      pipeline.after();
    }
    CALLGRIND_DUMP_STATS_AT(name.c_str());
    if (pipeline.received() - before != std::uint64_t{kRounds} * Pipeline::kPackets) {
      std::fprintf(stderr, "%s: %u packets were sent, %lu arrived\n", name.c_str(), kRounds * Pipeline::kPackets,
                   static_cast<unsigned long>(pipeline.received() - before));
      return 1;
    }
    std::printf("case %s %u\n", name.c_str(), kRounds * Pipeline::kPackets);
  }
  return 0;
}

}  // namespace
}  // namespace sluice::perf

int main() { return sluice::perf::run(); }
