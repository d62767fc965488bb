#include "perf/vmgen/receiver.hpp"

#include <array>
#include <utility>

#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include "perf/vmgen/probe.hpp"
#include "perf/vmgen/sender.hpp"

namespace sluice::vmgen {
namespace {

constexpr std::uint32_t kNewFlowWindow = 1U << 20;  ///< their decisions overtake each other

}  // namespace

Receiver::Receiver(const Options& options, const Vm& vm, std::size_t number)
    : number_{static_cast<std::uint8_t>(number)},
      port_{vm.port()},
      queues_{vm.options().queues},
      flows_{options.flows},
      takes_broadcast_{options.pattern == Pattern::kFlood},
      interval_frames_(vm.options().queues),
      reader_{options.protocol, options.verify},
      sources_(options.vms.size()) {
  const std::uint32_t window = SequenceTable::window_for(options.flows, options.distribution == Distribution::kZipf);
  for (const Route& route : routes_of(options)) {
    if (!arrives_at(route, number)) continue;
    Source& source = sources_[route.sender];
    expects_any_ = true;
    source.expected = true;
    source.flows = std::make_unique<SequenceTable>(options.flows, window);
    if (options.new_flows > 0) source.new_flows = std::make_unique<SequenceTable>(1, kNewFlowWindow);
  }
}

void Receiver::begin(std::uint8_t run, const std::vector<const Stream*>& streams) {
  run_ = run;
  longest_gap_ = {};
  interval_gap_ = {};
  counts_ = {};
  interval_frames_.assign(queues_, 0);
  latency_->clear();
  for (const Stream* stream : streams) {
    if (!arrives_at(stream->route(), number_)) continue;
    Source& source = sources_[stream->route().sender];
    source.received = 0;
    source.flows->reset();
    if (source.new_flows) source.new_flows->reset(stream->first_new_flow());
  }
}

std::uint32_t Receiver::poll() {
  std::uint32_t taken = 0;
  for (std::uint16_t queue = 0; queue < queues_; ++queue) {
    for (unsigned burst = 0; burst < kMostBursts; ++burst) {
      const std::uint32_t more = poll_queue(queue);
      taken += more;
      if (more < kBurst) break;
    }
  }
  return taken;
}

std::uint32_t Receiver::poll_queue(std::uint16_t queue) {
  std::array<rte_mbuf*, kBurst> frames;
  std::array<Probe, kBurst> probes;
  std::array<std::uint32_t, kBurst> lengths;
  const std::uint16_t taken = rte_eth_rx_burst(port_, queue, frames.data(), kBurst);
  ++counts_.polls;
  if (taken == 0) {
    ++counts_.polls_empty;
    return 0;
  }
  const std::uint64_t now = rte_rdtsc();
  for (std::uint16_t i = 0; i < taken; ++i) rte_prefetch0(rte_pktmbuf_mtod(frames[i], void*));
  std::uint32_t good = 0;
  for (std::uint16_t i = 0; i < taken; ++i) {
    Probe& probe = probes[good];
    switch (reader_.read(*frames[i], probe)) {
      case FrameKind::kForeign: ++counts_.foreign; break;
      case FrameKind::kCorrupted: ++counts_.corrupted; break;
      case FrameKind::kGood:
        if (!is_mine(probe)) {
          counts_.foreign += probe.run == run_;
        } else if (probe.run == kWarmUpRun) {
          sources_[probe.sender].heard = true;
        } else if (probe.run == run_) {
          if (probe.flow < flows_) sources_[probe.sender].flows->prefetch(probe.flow);
          lengths[good++] = frames[i]->pkt_len;
        }
        break;
    }
  }
  rte_pktmbuf_free_bulk(frames.data(), taken);
  interval_frames_[queue] += good;
  for (std::uint32_t i = 0; i < good; ++i) count(probes[i], lengths[i], now);
  if (good > 0) came(now);
  return taken;
}

bool Receiver::is_mine(const Probe& probe) const {
  return probe.sender < sources_.size() && sources_[probe.sender].expected &&
         probe.receiver == (takes_broadcast_ ? kEveryone : number_);
}

void Receiver::count(const Probe& probe, std::uint32_t length, std::uint64_t now) {
  Source& source = sources_[probe.sender];
  const bool of_new_flow = probe.flow >= flows_;
  if (of_new_flow && !source.new_flows) {
    ++counts_.corrupted;
    return;
  }
  const Arrival arrival =
      of_new_flow ? source.new_flows->arrive(0, probe.flow) : source.flows->arrive(probe.flow, probe.number);
  if (arrival == Arrival::kDuplicate) {
    ++counts_.duplicated;
    counts_.new_duplicated += of_new_flow;
    return;
  }
  counts_.reordered += arrival == Arrival::kReordered && !of_new_flow;
  counts_.new_received += of_new_flow;
  ++counts_.received;
  ++source.received;
  counts_.received_bytes += length;
  latency_->record(ticks_since(probe.stamp, now));
}

void Receiver::came(std::uint64_t now) {
  if (sending_) {
    longest_gap_.extend(last_, now);
    interval_gap_.extend(last_, now);
  }
  last_ = now;
}

void Receiver::senders_began(std::uint64_t now) {
  sending_ = true;
  last_ = now;
}

void Receiver::senders_ended(std::uint64_t now) {
  longest_gap_.extend(last_, now);
  interval_gap_.extend(last_, now);
  sending_ = false;
}

std::vector<std::uint64_t> Receiver::take_interval_frames() {
  return std::exchange(interval_frames_, std::vector<std::uint64_t>(queues_));
}

Gap Receiver::take_interval_gap(std::uint64_t now) {
  if (sending_) interval_gap_.extend(last_, now);
  return std::exchange(interval_gap_, {});
}

bool Receiver::heard_all() const {
  for (const Source& source : sources_) {
    if (source.expected && !source.heard) return false;
  }
  return true;
}

std::string Receiver::not_heard(const Options& options) const {
  std::string names;
  for (std::size_t i = 0; i < sources_.size(); ++i) {
    if (sources_[i].expected && !sources_[i].heard) names += (names.empty() ? "" : ", ") + options.vms[i].name;
  }
  return names;
}

}  // namespace sluice::vmgen
