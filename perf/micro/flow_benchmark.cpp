// What the packet's way costs until its flow is known: parse, mask, hash, lookup, and what a new flow costs.
//
// Times are for an iteration, which is a burst or many; the counter `cycles` is for one packet (or flow), of the time
// stamp counter.
#include <benchmark/benchmark.h>
#include <x86intrin.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "datapath/parse.hpp"
#include "flowtable/flow_table.hpp"
#include "flowtable/mask.hpp"
#include "perf/micro/benchmarks.hpp"
#include "perf/micro/cycles.hpp"

namespace sluice {
namespace {

using flowtable::ClassMask;
using flowtable::FlowEntry;
using flowtable::FlowKey;
using flowtable::FlowTable;
using flowtable::HashKey;
using flowtable::HashSecret;
using flowtable::Kernel;
using flowtable::kernels;
using flowtable::PacketClass;
using perf::Cycles;

constexpr std::size_t kBurst = FlowTable::kMaxLookup;
constexpr HashSecret kSecret{{0x0123456789abcdefU, 0xfedcba9876543210U}};

FlowKey key_of(std::uint32_t n) {
  FlowKey key{};
  key.in_port = 3;
  key.packet_class = static_cast<std::uint8_t>(PacketClass::ipv4_udp);
  key.ethertype_be = 8;
  key.nw_proto = 17;
  std::memcpy(key.nw_dst.data() + 12, &n, 4);
  return key;
}

std::vector<std::uint8_t> udp_frame(bool ipv6, bool tagged) {
  std::vector<std::uint8_t> bytes(12, 2);
  const auto add = [&](std::initializer_list<std::uint8_t> more) { bytes.insert(bytes.end(), more); };
  if (tagged) add({0x81, 0, 0, 5});
  if (ipv6) {
    add({0x86, 0xdd, 0x60, 0, 0, 0, 0, 8, 17, 64});
    bytes.resize(bytes.size() + 32, 7);
  } else {
    add({8, 0, 0x45, 0, 0, 28, 0, 0, 0x40, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2});
  }
  add({0, 53, 0, 53, 0, 8, 0, 0});
  bytes.resize(std::max<std::size_t>(bytes.size(), 64));
  return bytes;
}

void parse_burst(benchmark::State& state, bool ipv6, bool tagged) {
  static ports::Burst burst;
  const auto bytes = udp_frame(ipv6, tagged);
  for (std::size_t i = 0; i < kBurst; ++i) {
    std::memcpy(burst.heads[i].head(), bytes.data(), bytes.size());
    burst.frames[i] = {};
    burst.frames[i].head = burst.heads[i].head();
    burst.frames[i].head_size = burst.frames[i].size = static_cast<std::uint32_t>(bytes.size());
  }
  static std::array<FlowKey, kBurst> keys;
  const Cycles cycles(state, kBurst);
  for (auto _ : state) {
    for (std::size_t i = 0; i < kBurst; ++i) benchmark::DoNotOptimize(datapath::parse(burst.frames[i], 1, keys[i]));
    benchmark::ClobberMemory();
  }
}

void mask_with(benchmark::State& state, const Kernel* kernel) {
  static std::array<FlowKey, kBurst> keys;
  static std::array<FlowKey, kBurst> out;
  static std::array<ClassMask, 4> masks;
  std::array<const ClassMask*, kBurst> pointers;
  for (std::size_t i = 0; i < kBurst; ++i) pointers[i] = &masks[i % masks.size()];
  const Cycles cycles(state, kBurst);
  for (auto _ : state) {
    kernel->mask(keys.data(), pointers.data(), kBurst, out.data());
    benchmark::ClobberMemory();
  }
}

void hash_burst(benchmark::State& state, const Kernel* kernel) {
  const HashKey hash_key(kSecret);
  std::array<FlowKey, kBurst> keys;
  for (std::uint32_t i = 0; i < kBurst; ++i) keys[i] = key_of(i);
  const Cycles cycles(state, kBurst);
  for (auto _ : state) {
    for (const FlowKey& key : keys) benchmark::DoNotOptimize(kernel->hash(key, hash_key));
  }
}

// A table of state.range(0) flows, in the size of a switch's; bursts of random ones of them, or of none of them.
void lookup(benchmark::State& state, const Kernel* kernel, bool hit) {
  const auto flows = static_cast<std::uint32_t>(state.range(0));
  auto table = std::move(*FlowTable::create(1'000'000, kSecret, *kernel));
  for (std::uint32_t n = 0; n < flows; ++n) (void)table.insert(key_of(n), table.hash_of(key_of(n)));
  std::mt19937 random(1);  // NOLINT(cert-msc51-cpp): the same in each run
  // Keys come from a packet just parsed: from the cache. So only as many bursts as fit there, but of all flows.
  constexpr std::size_t kBursts = 128;
  std::vector<FlowKey> keys(kBursts * kBurst);
  std::array<FlowEntry*, kBurst> entries;
  std::array<std::uint64_t, kBurst> hashes;
  std::uint64_t cycles = 0;
  std::uint64_t packets = 0;
  for (auto _ : state) {
    state.PauseTiming();
    for (auto& key : keys) key = key_of(static_cast<std::uint32_t>(random() % flows) + (hit ? 0 : 2'000'000));
    state.ResumeTiming();
    const std::uint64_t begin = __rdtsc();
    for (std::size_t b = 0; b < kBursts; ++b) {
      table.lookup(std::span(keys).subspan(b * kBurst, kBurst), entries, hashes);
      for (FlowEntry* entry : entries) {
        if (entry != nullptr) benchmark::DoNotOptimize(entry->decision);
      }
    }
    cycles += __rdtsc() - begin;
    packets += keys.size();
  }
  state.counters["cycles"] = static_cast<double>(cycles) / static_cast<double>(packets);
  const auto found =
      static_cast<std::size_t>(std::ranges::count_if(entries, [](FlowEntry* entry) { return entry != nullptr; }));
  if (found != (hit ? kBurst : 0))
    state.SkipWithError(hit ? "not all flows were found" : "flows were found that are not there");
}

// New flows, in a table that holds state.range(0) and no more than twice a burst beside; erased again, uncounted.
void insert(benchmark::State& state) {
  const auto flows = static_cast<std::uint32_t>(state.range(0));
  auto table = std::move(*FlowTable::create(1'000'000 + 2 * kBurst, kSecret));
  for (std::uint32_t n = 0; n < flows; ++n) (void)table.insert(key_of(n), table.hash_of(key_of(n)));
  std::uint32_t next = flows;
  std::array<FlowEntry*, kBurst> entries;
  perf::PartialCycles cycles(state, kBurst);
  for (auto _ : state) {
    cycles.resume();
    for (FlowEntry*& entry : entries) {
      const FlowKey key = key_of(next++);
      entry = table.insert(key, table.hash_of(key));
    }
    cycles.pause();
    for (FlowEntry* entry : entries) table.erase(*entry);
  }
}

// The end of random flows, in a table that holds state.range(0); put back, uncounted.
void erase(benchmark::State& state) {
  const auto flows = static_cast<std::uint32_t>(state.range(0));
  auto table = std::move(*FlowTable::create(1'000'000 + 2 * kBurst, kSecret));
  std::vector<FlowEntry*> entries;
  for (std::uint32_t n = 0; n < flows; ++n) entries.push_back(table.insert(key_of(n), table.hash_of(key_of(n))));
  std::mt19937 random(1);  // NOLINT(cert-msc51-cpp): the same in each run
  const std::size_t batch = std::min<std::size_t>(kBurst, flows);
  perf::PartialCycles cycles(state, batch);
  for (auto _ : state) {
    const std::size_t first = flows == batch ? 0 : random() % (flows - batch);
    cycles.resume();
    for (std::size_t i = first; i < first + batch; ++i) table.erase(*entries[i]);
    cycles.pause();
    for (std::size_t i = first; i < first + batch; ++i) {
      const FlowKey key = key_of(static_cast<std::uint32_t>(i));
      entries[i] = table.insert(key, table.hash_of(key));
    }
  }
}

}  // namespace

void perf::register_all() {
  benchmark::RegisterBenchmark("parse/ipv4_udp", parse_burst, false, false);
  benchmark::RegisterBenchmark("parse/ipv4_udp_tagged", parse_burst, false, true);
  benchmark::RegisterBenchmark("parse/ipv6_udp", parse_burst, true, false);
  for (const Kernel* kernel : kernels()) {
    if (!kernel->supported()) continue;
    const std::string name(kernel->name);
    benchmark::RegisterBenchmark(("mask/" + name).c_str(), mask_with, kernel);
    benchmark::RegisterBenchmark(("hash/" + name).c_str(), hash_burst, kernel);
    for (const bool hit : {true, false}) {
      const std::string full = "lookup/" + name + (hit ? "/hit" : "/miss");
      auto* registered = benchmark::RegisterBenchmark(full.c_str(), lookup, kernel, hit);
      for (const int flows : {1, 100, 10'000, 100'000, 1'000'000}) registered->Arg(flows);
    }
  }
  for (const int flows : {1, 100, 10'000, 100'000, 1'000'000}) {
    benchmark::RegisterBenchmark("insert", insert)->Arg(flows);
    benchmark::RegisterBenchmark("erase", erase)->Arg(flows);
  }
}

}  // namespace sluice
