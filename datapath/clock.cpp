#include "datapath/clock.hpp"

#include <rte_cycles.h>

#include <cmath>

#include "ports/tsc.hpp"

namespace sluice::datapath {
namespace {

__extension__ using Wide = unsigned __int128;
constexpr unsigned kShift = 32;

}  // namespace

std::uint64_t now_ns() { return ns_at(rte_rdtsc()); }

std::uint64_t ns_at(std::uint64_t tsc) {
  static const Wide ns_per_cycle = (Wide{1'000'000'000} << kShift) / static_cast<Wide>(std::llround(ports::tsc_hz()));
  return static_cast<std::uint64_t>((tsc * ns_per_cycle) >> kShift);
}

std::uint64_t tsc_at(std::uint64_t ns) {
  static const Wide cycles_per_ns = (static_cast<Wide>(std::llround(ports::tsc_hz())) << kShift) / 1'000'000'000;
  return static_cast<std::uint64_t>((ns * cycles_per_ns) >> kShift);
}

}  // namespace sluice::datapath
