// The kernel for CPUs with AES instructions and without AVX2. Its hash is the one that all kernels with AES give:
// each 16-byte lane of the key gets its own secret and three rounds, then the lanes are joined and mixed by two more.
// Three rounds reach every bit from every bit, and make differences that cancel out between lanes unpredictable.
#include <immintrin.h>

#include "flowtable/flow_table.hpp"
#include "flowtable/kernel.hpp"

namespace sluice::flowtable {
namespace {

#define SLUICE_TARGET __attribute__((target("sse4.2,aes")))
struct Wide {
  __m128i parts[4];
};
SLUICE_TARGET inline Wide load(const FlowKey& key) {
  const auto* p = reinterpret_cast<const __m128i*>(&key);
  return {{_mm_loadu_si128(p), _mm_loadu_si128(p + 1), _mm_loadu_si128(p + 2), _mm_loadu_si128(p + 3)}};
}
SLUICE_TARGET inline void store(FlowKey& key, const Wide& value) {
  for (std::size_t i = 0; i < 4; ++i) _mm_storeu_si128(reinterpret_cast<__m128i*>(&key) + i, value.parts[i]);
}
SLUICE_TARGET inline bool equal(const Wide& a, const Wide& b) {
  __m128i same = _mm_cmpeq_epi8(a.parts[0], b.parts[0]);
  for (int i = 1; i < 4; ++i) same = _mm_and_si128(same, _mm_cmpeq_epi8(a.parts[i], b.parts[i]));
  return _mm_movemask_epi8(same) == 0xffff;
}
SLUICE_TARGET inline Wide masked(Wide key, const ClassMask& mask) {
  const Wide bits = load(mask.mask);
  for (std::size_t i = 0; i < 4; ++i) key.parts[i] = _mm_and_si128(key.parts[i], bits.parts[i]);
  // In the register: a store of two bytes would hold up the load of 64 that follows.
  key.parts[3] = _mm_insert_epi16(key.parts[3], mask.generation, 7);
  return key;
}

SLUICE_TARGET inline __m128i secret(const std::uint64_t* words) {
  return _mm_load_si128(reinterpret_cast<const __m128i*>(words));
}

SLUICE_TARGET inline std::uint64_t hash_of(Wide key, const HashKey& hash_key) {
  constexpr int kGeneration = 1 << 7;  // of the words of the last part
  key.parts[3] = _mm_blend_epi16(key.parts[3], _mm_setzero_si128(), kGeneration);
  const std::uint64_t* rounds = hash_key.rounds.data();
  __m128i joined = _mm_setzero_si128();
  for (std::size_t i = 0; i < 4; ++i) {
    __m128i lane = _mm_xor_si128(key.parts[i], secret(hash_key.lanes.data() + 2 * i));
    for (std::size_t round = 0; round < 3; ++round) lane = _mm_aesenc_si128(lane, secret(rounds + 2 * round));
    joined = _mm_xor_si128(joined, lane);
  }
  joined = _mm_aesenc_si128(joined, secret(rounds + 6));
  joined = _mm_aesenc_si128(joined, secret(rounds));
  return static_cast<std::uint64_t>(_mm_cvtsi128_si64(joined));
}

#include "flowtable/burst_kernel.ipp"

bool supported() { return __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("aes"); }

}  // namespace

const Kernel kKernelAes{"sse4.2 aes", supported, hash_one, lookup_burst, mask_all};

}  // namespace sluice::flowtable
