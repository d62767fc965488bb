// Memory: the EAL's start, and the mbuf pools that the VMs send from and receive into. Owned by main, outlives the VMs.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include <rte_mempool.h>

#include "perf/vmgen/options.hpp"

namespace sluice::vmgen {

using Pool = std::unique_ptr<rte_mempool, decltype(&rte_mempool_free)>;

/// A TSO frame is sent as a guest's kernel does it: its headers in a buffer of their own, the rest in pieces of pages.
constexpr std::uint32_t kTsoHead = 64;
constexpr std::uint32_t kBodyPiece = 16'384;

/// The pieces that the frames of these options are made of.
struct Pools {
  Pool heads{nullptr, rte_mempool_free};   ///< whole frames, or only the heads of TSO frames; bodies are plain
  Pool bodies{nullptr, rte_mempool_free};  ///< pieces of TSO frames; plain
  std::vector<Pool> receive;               ///< one a VM
};

/// Pins this thread and all that the EAL starts to the options' core, and starts the EAL with as much memory as the
/// pools need.
Expected<void> start_eal(const Options& options);
Expected<Pools> make_pools(const Options& options);

}  // namespace sluice::vmgen
