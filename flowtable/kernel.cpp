// Picks the kernel, once.
#include "flowtable/kernel.hpp"

#include <array>

#include "flowtable/mask.hpp"

namespace sluice::flowtable {
namespace {

constexpr std::array<const Kernel*, 4> kAll{&kKernelBaseline, &kKernelAes, &kKernelAvx2, &kKernelAvx512};

const Kernel& best() {
  const Kernel* found = kAll.front();
  for (const Kernel* candidate : kAll) {
    if (candidate->supported()) found = candidate;
  }
  return *found;
}

}  // namespace

std::span<const Kernel* const> kernels() { return kAll; }

const Kernel& kernel() {
  static const Kernel& picked = best();
  return picked;
}

void mask_burst(std::span<const FlowKey> keys, std::span<const ClassMask* const> masks, std::span<FlowKey> out) {
  kernel().mask(keys.data(), masks.data(), keys.size(), out.data());
}

std::string_view instruction_set() { return kernel().name; }

}  // namespace sluice::flowtable
