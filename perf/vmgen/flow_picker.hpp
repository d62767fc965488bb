// FlowPicker: which flow the next frame belongs to. Owns what the choice is made from; one thread's.
#pragma once

#include <cstdint>
#include <span>

#include "perf/vmgen/huge_array.hpp"
#include "perf/vmgen/options.hpp"

namespace sluice::vmgen {

class FlowPicker {
 public:
  /// `flows` from 1; `exponent` is for Zipf alone: flow k (from 0) comes with probability ~ 1 / (k + 1)^exponent.
  FlowPicker(Distribution distribution, std::uint32_t flows, double exponent, std::uint64_t seed);

  /// Fills `chosen` with flow numbers, each below `flows`.
  void pick(std::span<std::uint32_t> chosen);

 private:
  /// Walker's alias method, in Vose's form: one look at a random slot picks the slot's own flow or its alias.
  struct Slot {
    std::uint32_t threshold;  ///< of 2^32: below it, the slot's own flow
    std::uint32_t alias;
  };

  void fill_slots(double exponent);
  std::uint64_t random();

  Distribution distribution_;
  std::uint32_t flows_;
  std::uint32_t next_ = 0;
  std::uint64_t state_;
  HugeArray<Slot> slots_;
};

}  // namespace sluice::vmgen
