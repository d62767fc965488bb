// What each action costs a packet. Every list ends in a drop, which costs the least, so that nothing is transmitted;
// `drop` alone is what is to be taken off the others. `output` is the exception: a list of its own, which PMDs carry
// out on a burst at once; it stages the frames, and what it takes to transmit them is ring_benchmark's. Frames come
// from a guest's ring and are parsed, uncounted.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "datapath/execute.hpp"
#include "datapath/parse.hpp"
#include "perf/micro/benchmarks.hpp"
#include "perf/micro/cycles.hpp"
#include "perf/micro/fake_guest.hpp"

namespace sluice::perf {
namespace {

using flowtable::Action;
using flowtable::ActionKind;

constexpr unsigned kBurst = ports::kBurstSize;

/// TCP, tagged, in IPv4 or IPv6.
std::vector<std::uint8_t> tcp_frame(bool ipv6) {
  std::vector<std::uint8_t> f(12, 2);
  f.insert(f.end(), {0x81, 0, 0, 5});
  if (ipv6) {
    f.insert(f.end(), {0x86, 0xdd, 0x60, 0, 0, 0, 0, 20, 6, 64});
    f.resize(f.size() + 32, 7);
  } else {
    f.insert(f.end(), {8, 0, 0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2});
  }
  f.insert(f.end(), {0, 80, 0, 80, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 0x10, 1, 1, 0, 0, 0, 0});
  f.resize(std::max<std::size_t>(f.size(), 64));
  return f;
}

void execute_with(benchmark::State& state, const std::vector<Action>& changes, bool ipv6) {
  std::vector<Action> actions = changes;
  actions.push_back({.kind = ActionKind::drop, .value = static_cast<std::uint16_t>(ports::DropReason::rule)});
  const flowtable::ActionList list(std::move(actions));
  FakeGuest guest({});
  for (std::uint32_t i = 0; i < FakeRing::kSize; ++i) guest.tx.set_frame(i, tcp_frame(ipv6));
  const auto burst = std::make_unique<ports::Burst>();
  const datapath::PortView view{};
  ports::Notifier notifier;
  datapath::Egress egress(notifier);
  egress.begin(view);
  ports::PortCounters counters;
  PartialCycles cycles(state, kBurst);
  for (auto _ : state) {
    guest.tx.make_available(kBurst);
    vhost::receive(guest.tx.queue, *burst, counters);
    flowtable::FlowKey key;
    for (ports::Frame& frame : burst->view()) benchmark::DoNotOptimize(datapath::parse(frame, 0, key));
    cycles.resume();
    for (ports::Frame& frame : burst->view()) datapath::execute(frame, list, 0, egress, counters);
    cycles.pause();
    vhost::release(guest.tx.queue, *burst, notifier);
  }
  if (counters.dropped(ports::DropReason::rule) != done(state, kBurst))
    state.SkipWithError("not all frames were dropped");
}

void output(benchmark::State& state) {
  constexpr flowtable::PortId kTo = 0;
  const flowtable::ActionList list({{.kind = ActionKind::output, .value = kTo}});
  FakeGuest from({});
  FakeGuest to({});
  for (std::uint32_t i = 0; i < FakeRing::kSize; ++i) from.tx.set_frame(i, tcp_frame(false));
  const auto burst = std::make_unique<ports::Burst>();
  ports::PortCounters in;
  ports::PortCounters out;
  datapath::PortView view{};
  view.tx.push_back({{ports::TxQueue(to.rx.queue)}, nullptr, 1522});
  view.counters.push_back(&out);
  ports::Notifier notifier;
  datapath::Egress egress(notifier);
  egress.begin(view);
  PartialCycles cycles(state, kBurst);
  for (auto _ : state) {
    from.tx.make_available(kBurst);
    vhost::receive(from.tx.queue, *burst, in);
    flowtable::FlowKey key;
    std::array<ports::Frame*, kBurst> frames;
    for (unsigned i = 0; i < kBurst; ++i) {
      frames[i] = &burst->frames[i];
      benchmark::DoNotOptimize(datapath::parse(*frames[i], 0, key));
    }
    cycles.resume();
    datapath::execute(frames, list, 0, egress, in);
    cycles.pause();
    egress.flush();
    vhost::release(from.tx.queue, *burst, notifier);
    to.rx.make_available(kBurst);
  }
  if (out.tx_packets.get() != done(state, kBurst)) state.SkipWithError("not all frames were transmitted");
}

}  // namespace

void register_all() {
  struct Row {
    const char* name;
    std::vector<Action> changes;
    bool ipv6 = false;
  };
  const auto change = [](ActionKind kind, std::uint16_t value = 0) {
    Action action{.kind = kind, .value = value};
    action.bytes.fill(0x12);
    return std::vector{action};
  };
  static const std::vector<Row> rows{
      {"drop", {}},
      {"push_vlan", change(ActionKind::push_vlan, 7)},
      {"pop_vlan", change(ActionKind::pop_vlan)},
      {"set_vlan_vid", change(ActionKind::set_vlan_vid, 7)},
      {"set_vlan_pcp", change(ActionKind::set_vlan_pcp, 3)},
      {"set_dl_src", change(ActionKind::set_dl_src)},
      {"set_dl_dst", change(ActionKind::set_dl_dst)},
      {"set_nw_src", change(ActionKind::set_nw_src)},
      {"set_nw_dst", change(ActionKind::set_nw_dst)},
      {"set_ipv6_src", change(ActionKind::set_ipv6_src), true},
      {"set_ipv6_dst", change(ActionKind::set_ipv6_dst), true},
      {"set_nw_tos", change(ActionKind::set_nw_tos, 0x20)},
      {"set_tp_src", change(ActionKind::set_tp_src, 81)},
      {"set_tp_dst", change(ActionKind::set_tp_dst, 81)},
      {"dec_ttl", change(ActionKind::dec_ttl)},
      {"dec_ttl/ipv6", change(ActionKind::dec_ttl), true},
  };
  for (const Row& row : rows) {
    benchmark::RegisterBenchmark((std::string("execute/") + row.name).c_str(), execute_with, row.changes, row.ipv6);
  }
  benchmark::RegisterBenchmark("execute/output", output);
}

}  // namespace sluice::perf
