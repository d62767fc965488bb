// The kernel for any x86-64-v2 CPU: SSE, and a hash by multiplication.
#include "flowtable/flow_table.hpp"
#include "flowtable/kernel.hpp"

namespace sluice::flowtable {
namespace {

#define SLUICE_TARGET
struct Wide {
  __m128i parts[4];
};
inline Wide load(const FlowKey& key) {
  const auto* p = reinterpret_cast<const __m128i*>(&key);
  return {{_mm_loadu_si128(p), _mm_loadu_si128(p + 1), _mm_loadu_si128(p + 2), _mm_loadu_si128(p + 3)}};
}
inline void store(FlowKey& key, const Wide& value) {
  for (int i = 0; i < 4; ++i) _mm_storeu_si128(reinterpret_cast<__m128i*>(&key) + i, value.parts[i]);
}
inline bool equal(const Wide& a, const Wide& b) {
  __m128i same = _mm_cmpeq_epi8(a.parts[0], b.parts[0]);
  for (int i = 1; i < 4; ++i) same = _mm_and_si128(same, _mm_cmpeq_epi8(a.parts[i], b.parts[i]));
  return _mm_movemask_epi8(same) == 0xffff;
}
inline Wide masked(Wide key, const ClassMask& mask) {
  const Wide bits = load(mask.mask);
  for (int i = 0; i < 4; ++i) key.parts[i] = _mm_and_si128(key.parts[i], bits.parts[i]);
  // In the register: a store of two bytes would hold up the load of 64 that follows.
  key.parts[3] = _mm_insert_epi16(key.parts[3], mask.generation, 7);
  return key;
}

std::uint64_t folded(std::uint64_t a, std::uint64_t b) {
  const auto product = static_cast<unsigned __int128>(a) * b;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64U);
}

// Pairs of words, each with its secret, multiplied and folded; then once more, so that every bit reaches every other.
inline std::uint64_t hash_of(Wide key, const HashKey& hash_key) {
  key.parts[3] = _mm_insert_epi16(key.parts[3], 0, 7);  // the mask's generation
  alignas(16) std::uint64_t words[8];
  for (int i = 0; i < 4; ++i) _mm_store_si128(reinterpret_cast<__m128i*>(words) + i, key.parts[i]);
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < 8; i += 2) {
    sum += folded(words[i] ^ hash_key.lanes[i], words[i + 1] ^ hash_key.lanes[i + 1]);
  }
  return folded(sum ^ hash_key.rounds[0], hash_key.rounds[1] | 1U);
}

#include "flowtable/burst_kernel.ipp"

bool supported() { return true; }

}  // namespace

const Kernel kKernelBaseline{"sse4.2", supported, hash_one, lookup_burst, mask_all};

}  // namespace sluice::flowtable
