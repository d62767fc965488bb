// The keyed hash of a FlowKey. The secret is fresh at each start, so that nobody outside can aim keys at one bucket.
//
// Two functions share this key: AES rounds (kernel_aes.cpp and above) and, for machines without AES instructions,
// folded 64x64->128 bit multiplications (kernel_baseline.cpp). Hashes never leave the process, so a peer has nothing
// to work the secret out from.
#pragma once

#include <array>
#include <cstdint>

#include "flowtable/flow_key.hpp"

namespace sluice::flowtable {

/// A 128-bit secret, fresh at each start (replay: fixed).
struct HashSecret {
  std::uint64_t words[2];
};

/// What the hash functions work with: the secret, drawn out to one word for every word of a key, and round keys.
/// A block of the key must not be exchangeable with another one, so every lane has its own words.
struct alignas(64) HashKey {
  std::array<std::uint64_t, 8> lanes{};
  std::array<std::uint64_t, 8> rounds{};

  HashKey() = default;
  explicit HashKey(const HashSecret& secret);
};

/// Keyed hash of the 64 bytes of a key but for mask_generation, which says when a mask was made and nothing of the
/// packet: what is spread over a receiver's queues by it stays where it is when another worker counts masks anew. By
/// the instructions picked at start: the one of FlowTable::lookup.
[[nodiscard]] std::uint64_t hash(const FlowKey& key, const HashSecret& secret);

}  // namespace sluice::flowtable
