#include "perf/vmgen/flow_picker.hpp"

#include <cmath>
#include <limits>
#include <vector>

namespace sluice::vmgen {

FlowPicker::FlowPicker(Distribution distribution, std::uint32_t flows, double exponent, std::uint64_t seed)
    : distribution_{flows == 1 ? Distribution::kRoundRobin : distribution},
      flows_{flows},
      state_{seed * 0x9e3779b97f4a7c15 + 0x2545f4914f6cdd1d} {
  if (distribution_ == Distribution::kZipf) fill_slots(exponent);
}

void FlowPicker::fill_slots(double exponent) {
  std::vector<double> weight(flows_);
  double sum = 0;
  for (std::uint32_t i = 0; i < flows_; ++i) sum += weight[i] = std::pow(i + 1.0, -exponent);
  std::vector<std::uint32_t> poor;
  std::vector<std::uint32_t> rich;
  for (std::uint32_t i = 0; i < flows_; ++i) {
    weight[i] *= flows_ / sum;
    (weight[i] < 1 ? poor : rich).push_back(i);
  }
  constexpr auto kAll = std::numeric_limits<std::uint32_t>::max();
  slots_ = HugeArray<Slot>{flows_};
  for (std::uint32_t i = 0; i < flows_; ++i) slots_[i] = {kAll, i};
  while (!poor.empty() && !rich.empty()) {
    const std::uint32_t small = poor.back();
    const std::uint32_t large = rich.back();
    poor.pop_back();
    slots_[small] = {static_cast<std::uint32_t>(weight[small] * kAll), large};
    weight[large] -= 1 - weight[small];
    if (weight[large] < 1) {
      rich.pop_back();
      poor.push_back(large);
    }
  }
}

std::uint64_t FlowPicker::random() {  // xorshift64*
  state_ ^= state_ >> 12;
  state_ ^= state_ << 25;
  state_ ^= state_ >> 27;
  return state_ * 0x2545f4914f6cdd1d;
}

void FlowPicker::pick(std::span<std::uint32_t> chosen) {
  switch (distribution_) {
    case Distribution::kRoundRobin:
      for (std::uint32_t& flow : chosen) {
        flow = next_;
        if (++next_ == flows_) next_ = 0;
      }
      return;
    case Distribution::kUniform:
      for (std::uint32_t& flow : chosen) flow = static_cast<std::uint32_t>((random() >> 32) * flows_ >> 32);
      return;
    case Distribution::kZipf:
      for (std::uint32_t& flow : chosen) {
        const std::uint64_t draw = random();
        const auto index = static_cast<std::uint32_t>((draw >> 32) * flows_ >> 32);
        const Slot slot = slots_[index];
        flow = static_cast<std::uint32_t>(draw) <= slot.threshold ? index : slot.alias;
      }
      return;
  }
}

}  // namespace sluice::vmgen
