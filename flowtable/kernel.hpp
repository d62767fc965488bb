// Kernel: the functions that work on whole bursts of keys, once for every set of instructions.
//
// The program is built for x86-64-v2; what is faster is picked once, at start, by what the CPU has. All kernels find
// the same; those with AES give the same hashes, the baseline gives its own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "flowtable/buckets.hpp"

namespace sluice::flowtable {

struct Kernel {
  std::string_view name;
  bool (*supported)();  ///< by this CPU and kernel
  std::uint64_t (*hash)(const FlowKey& key, const HashKey& hash_key);
  /// FlowTable::lookup.
  void (*lookup)(const TableView& table, const FlowKey* keys, std::size_t count, FlowEntry** entries,
                 std::uint64_t* hashes);
  /// mask_burst.
  void (*mask)(const FlowKey* keys, const ClassMask* const* masks, std::size_t count, FlowKey* out);
};

extern const Kernel kKernelBaseline;  ///< SSE4.2
extern const Kernel kKernelAes;       ///< SSE4.2, AES
extern const Kernel kKernelAvx2;      ///< AVX2, AES
extern const Kernel kKernelAvx512;    ///< AVX-512 F, BW, VL, VAES

/// All of them, slowest first. The first one is supported everywhere.
[[nodiscard]] std::span<const Kernel* const> kernels();
/// The best that this CPU has.
[[nodiscard]] const Kernel& kernel();

}  // namespace sluice::flowtable
