#include "datapath/clock.hpp"

#include <rte_cycles.h>

#include <cmath>

#include "ports/tsc.hpp"

namespace sluice::datapath {
namespace {

__extension__ using Wide = unsigned __int128;
constexpr unsigned kShift = 32;

}  // namespace

std::uint64_t now_ns() {
  static const Wide ns_per_cycle = (Wide{1'000'000'000} << kShift) / static_cast<Wide>(std::llround(ports::tsc_hz()));
  return static_cast<std::uint64_t>((rte_rdtsc() * ns_per_cycle) >> kShift);
}

}  // namespace sluice::datapath
