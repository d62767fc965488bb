// Buckets: where the table says which entry a key may be in.
//
// The low 32 bits of a hash, which an entry keeps, name a key's first bucket (from bit 0 up) and its tag (the top 16).
// Bucket and tag together name the second bucket, and the second and the tag the first again, so that an entry can be
// moved without reading its key. A key is in its first bucket if there was room, else in the second, else on the chain
// of the first. The first counts those that are not in it, and only then is there anything to look at beyond it.
//
// Owned by the table's PMD.
#pragma once

#include <emmintrin.h>

#include <array>
#include <cstddef>
#include <cstdint>

#include "flowtable/flow_entry.hpp"
#include "flowtable/hash.hpp"

namespace sluice::flowtable {

using Tag = std::uint16_t;

inline constexpr unsigned kSlots = 8;

/// One cache line. All zero is an empty bucket, so that fresh memory need not be touched.
struct alignas(64) Bucket {
  std::array<Tag, kSlots> tags;  ///< 0: the slot is free
  std::array<EntryId, kSlots> entries;
  std::uint32_t displaced;  ///< keys that have this as first bucket and are not in it, chained included
  std::uint32_t chained;    ///< keys that are on the chain
  EntryId chain;            ///< the first of them, linked by FlowEntry::next; valid if chained != 0
  std::uint32_t reserved;
};
static_assert(sizeof(Bucket) == 64);

[[nodiscard]] inline Tag tag_of(std::uint32_t hash) {
  const auto tag = static_cast<Tag>(hash >> 16U);
  return tag == 0 ? Tag{1} : tag;
}

/// Bit i is set if slot i has the tag.
[[nodiscard]] inline unsigned match(const Bucket& bucket, Tag tag) {
  const __m128i tags = _mm_load_si128(reinterpret_cast<const __m128i*>(bucket.tags.data()));
  const __m128i equal = _mm_cmpeq_epi16(tags, _mm_set1_epi16(static_cast<short>(tag)));
  return static_cast<unsigned>(_mm_movemask_epi8(_mm_packs_epi16(equal, _mm_setzero_si128())));
}

[[nodiscard]] inline unsigned free_slots(const Bucket& bucket) { return match(bucket, 0); }

/// What a lookup reads: both arrays and the hash's key.
struct TableView {
  Bucket* buckets = nullptr;
  FlowEntry* entries = nullptr;
  std::size_t bucket_mask = 0;  ///< the number of buckets, a power of two from 2 on, less one
  HashKey hash_key;

  [[nodiscard]] std::size_t first(std::uint32_t hash) const { return hash & bucket_mask; }
  /// The other of the two buckets of a tag.
  [[nodiscard]] std::size_t other(std::size_t bucket, Tag tag) const {
    // Odd, so that the other is never the same; an exclusive or, so that it goes both ways.
    return bucket ^ (((tag * 0x5bd1e995U) | 1U) & bucket_mask);
  }
};

/// Looks at all places where a key may be, one after the other.
[[nodiscard]] FlowEntry* search(const TableView& table, const FlowKey& key, std::uint32_t hash);

/// Finds a place for a new entry whose key and hash are set, moving others if it must. Cannot fail.
void place(const TableView& table, EntryId id);

/// Takes an entry out of wherever place() or a later move put it.
void remove(const TableView& table, EntryId id);

}  // namespace sluice::flowtable
