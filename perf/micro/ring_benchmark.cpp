// What a guest's rings cost a packet: receive and release, transmit, and the whole way through a PMD, for split and
// packed rings, of drivers that keep order (IN_ORDER) and of others. The drivers' side is in the same thread and is not
// counted. Cycles are of the time stamp counter.
#include <benchmark/benchmark.h>

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "perf/micro/benchmarks.hpp"
#include "perf/micro/cycles.hpp"
#include "perf/micro/fake_guest.hpp"
#include "perf/micro/pipeline.hpp"
#include "ports/queue.hpp"

namespace sluice::perf {
namespace {

constexpr unsigned kBurst = ports::kBurstSize;

std::vector<std::uint8_t> frame_of(std::int64_t size) {
  return std::vector<std::uint8_t>(static_cast<std::size_t>(size), 2);
}

void receive_and_release(benchmark::State& state, RingKind kind) {
  FakeGuest guest(kind);
  for (std::uint32_t i = 0; i < FakeRing::kSize; ++i) guest.tx.set_frame(i, frame_of(state.range(0)));
  const auto burst = std::make_unique<ports::Burst>();
  ports::PortCounters counters;
  ports::Notifier notifier;
  PartialCycles cycles(state, kBurst);
  for (auto _ : state) {
    guest.tx.make_available(kBurst);
    cycles.resume();
    vhost::receive(guest.tx.queue, *burst, counters);
    vhost::release(guest.tx.queue, *burst, notifier);
    notifier.notify();
    cycles.pause();
  }
  if (counters.rx_packets.get() != done(state, kBurst)) state.SkipWithError("not all frames were received");
}

void transmit(benchmark::State& state, RingKind kind) {
  FakeGuest from(kind);
  FakeGuest to(kind);
  for (std::uint32_t i = 0; i < FakeRing::kSize; ++i) from.tx.set_frame(i, frame_of(state.range(0)));
  const auto burst = std::make_unique<ports::Burst>();
  ports::PortCounters in;
  ports::PortCounters out;
  ports::Notifier notifier;
  from.tx.make_available(kBurst);
  vhost::receive(from.tx.queue, *burst, in);
  PartialCycles cycles(state, kBurst);
  for (auto _ : state) {
    std::array<ports::Frame*, kBurst> frames;
    for (unsigned i = 0; i < kBurst; ++i) {
      frames[i] = &burst->frames[i];
      frames[i]->outputs = 1;
    }
    cycles.resume();
    vhost::transmit(to.rx.queue, frames, out, notifier);
    notifier.notify();
    cycles.pause();
    to.rx.make_available(kBurst);
  }
  if (out.tx_packets.get() != done(state, kBurst)) state.SkipWithError("not all frames were transmitted");
}

void forward(benchmark::State& state, RingKind kind) {
  Pipeline pipeline({.ring = kind, .size = static_cast<std::uint32_t>(state.range(0))});
  const std::uint64_t before = pipeline.received();
  PartialCycles cycles(state, Pipeline::kPackets);
  for (auto _ : state) {
    pipeline.before();
    cycles.resume();
    pipeline.forward();
    cycles.pause();
    pipeline.after();
  }
  if (pipeline.received() - before != done(state, Pipeline::kPackets))
    state.SkipWithError("not all frames were forwarded");
}

}  // namespace

void register_all() {
  static constexpr std::pair<const char*, RingKind> kKinds[] = {
      {"split", {}},
      {"packed", {.packed = true}},
      {"split-in-order", {.in_order = true}},
      {"packed-in-order", {.packed = true, .in_order = true}},
  };
  const auto add = [](const std::string& name, void (*run)(benchmark::State&, RingKind)) {
    for (const auto& [kind_name, kind] : kKinds) {
      auto* registered = benchmark::RegisterBenchmark((name + "/" + kind_name).c_str(), run, kind);
      for (const int size : {64, 512, 1514}) registered->Arg(size);
    }
  };
  add("receive_and_release", receive_and_release);
  add("transmit", transmit);
  add("pmd_from_ring_to_ring", forward);
}

}  // namespace sluice::perf
