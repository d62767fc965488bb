#include "control/replay/summary.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "ports/drop_reason.hpp"

namespace sluice::control {
namespace {

using ports::DropReason;
using ports::PortCounters;

std::uint64_t all_drops(const ReplayedSwitch& replayed, std::size_t port) {
  std::uint64_t sum = 0;
  for (std::size_t r = 0; r < ports::kDropReasons; ++r) sum += replayed.dropped(port, static_cast<DropReason>(r));
  return sum;
}

std::string plural(std::uint64_t n, const char* what) { return fmt::format("{} {}{}", n, what, n == 1 ? "" : "s"); }

}  // namespace

std::string summary(const Config& config, const ReplayedSwitch& replayed, const ReplayTimes& times) {
  std::size_t width = 4;
  for (const PortConfig& port : config.ports) width = std::max(width, port.name.size());

  std::string text = fmt::format("{:<{}}  {:>12} {:>15}  {:>12} {:>15}  {:>12}\n", "port", width, "in frames", "bytes",
                                 "out frames", "bytes", "dropped");
  for (std::size_t i = 0; i < config.ports.size(); ++i) {
    text += fmt::format("{:<{}}  {:>12} {:>15}  {:>12} {:>15}  {:>12}\n", config.ports[i].name, width,
                        replayed.count(i, &PortCounters::rx_packets), replayed.count(i, &PortCounters::rx_bytes),
                        replayed.count(i, &PortCounters::tx_packets), replayed.count(i, &PortCounters::tx_bytes),
                        all_drops(replayed, i));
  }
  bool heading = true;
  for (std::size_t i = 0; i < config.ports.size(); ++i) {
    for (std::size_t r = 0; r < ports::kDropReasons; ++r) {
      const auto reason = static_cast<DropReason>(r);
      const std::uint64_t count = replayed.dropped(i, reason);
      if (count == 0) continue;
      if (std::exchange(heading, false)) text += "\ndropped\n";
      text += fmt::format("{:<{}}  {:>12}  {}: {}\n", config.ports[i].name, width, count, ports::name(reason),
                          ports::explanation(reason));
    }
  }
  const datapath::PmdCounters& pmd = replayed.pmd_counters();
  const double span = static_cast<double>(times.last - times.first) / 1e9;
  text += fmt::format("\n{} of {:.6f} s in {:.3f} s", plural(times.frames, "frame"), span, times.seconds);
  if (times.seconds > 0)
    text += fmt::format(", {:.2f} million a second", static_cast<double>(times.frames) / times.seconds / 1e6);
  text += fmt::format("; {} found a flow, {} asked the slow path; {} and {} at the end\n", pmd.hits.get(),
                      pmd.upcalls.get(), plural(replayed.flows(), "flow"),
                      fmt::format("{} learnt MACs", replayed.fdb_entries()));
  return text;
}

std::string unaccounted(const Config& config, const ReplayedSwitch& replayed) {
  std::uint64_t in = 0;
  std::uint64_t out = 0;
  for (std::size_t i = 0; i < config.ports.size(); ++i) {
    in += replayed.count(i, &PortCounters::rx_packets) + replayed.count(i, &PortCounters::copies) +
          replayed.count(i, &PortCounters::segments);
    out += replayed.count(i, &PortCounters::tx_packets) + all_drops(replayed, i);
  }
  if (in == out) return {};
  return fmt::format("{} frames came in or were made of others, {} went out or were dropped", in, out);
}

}  // namespace sluice::control
