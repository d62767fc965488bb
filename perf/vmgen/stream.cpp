#include "perf/vmgen/stream.hpp"

#include <algorithm>

#include "perf/vmgen/imix.hpp"
#include "perf/vmgen/probe.hpp"

namespace sluice::vmgen {

std::vector<Route> routes_of(const Options& options) {
  std::vector<Route> routes;
  const auto count = static_cast<std::uint8_t>(options.vms.size());
  const auto add = [&](std::uint8_t from, std::uint8_t to) { routes.push_back({from, to, options.vms[to].mac}); };
  switch (options.pattern) {
    case Pattern::kPairs:
    case Pattern::kOneWay:
      for (std::uint8_t i = 0; i < count; i = static_cast<std::uint8_t>(i + 2)) {
        const auto other = static_cast<std::uint8_t>(i + 1);
        add(i, other);
        if (options.pattern == Pattern::kPairs) add(other, i);
      }
      break;
    case Pattern::kEach:
      for (std::uint8_t from = 0; from < count; ++from) {
        for (std::uint8_t to = 0; to < count; ++to) {
          if (from != to) add(from, to);
        }
      }
      break;
    case Pattern::kFlood: routes.push_back({0, kEveryone, {0xff, 0xff, 0xff, 0xff, 0xff, 0xff}}); break;
    case Pattern::kEcho:
      for (std::uint8_t i = 0; i < count; ++i) routes.push_back({i, i, options.echo_mac});
      break;
  }
  return routes;
}

bool arrives_at(const Route& route, std::size_t number) {
  return route.receiver == kEveryone ? route.sender != number : route.receiver == number;
}

Stream::Stream(const Options& options, const Route& route)
    : route_{route},
      addresses_{options.vary, route.sender, route.receiver == kEveryone ? std::uint8_t{kMostVms} : route.receiver},
      picker_{options.distribution, options.flows, options.zipf_exponent,
              options.seed + std::uint64_t{route.sender} * 256 + route.receiver},
      numbers_{options.flows},
      first_new_flow_{options.flows},
      next_new_flow_{options.flows} {
  FrameWriter::Settings settings{options.vms[route.sender].mac, route.dst, options.protocol, options.checksum_offload,
                                 0};
  const auto add = [&](std::uint32_t length) {
    settings.length = length;
    writers_.emplace_back(settings);
  };
  if (options.imix) {
    std::for_each(kImixSizes.begin(), kImixSizes.end(), add);
  } else {
    add(options.largest_frame());
  }
}

void Stream::begin() {
  std::fill(numbers_.begin(), numbers_.end(), 0);
  first_new_flow_ = next_new_flow_;
  sent = 0;
  sent_new = 0;
}

void Stream::choose() {
  picker_.pick(chosen_);
  for (const std::uint32_t flow : chosen_) __builtin_prefetch(&numbers_[flow], 1);
  chosen_at_ = 0;
}

const FrameWriter& Stream::imix_writer() const { return writers_[kImixTurn[size_turn_]]; }

}  // namespace sluice::vmgen
