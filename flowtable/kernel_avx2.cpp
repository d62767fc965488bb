// The kernel for CPUs with AVX2 and AES. The hash is that of kernel_aes.cpp.
#include <immintrin.h>

#include "flowtable/flow_table.hpp"
#include "flowtable/kernel.hpp"

namespace sluice::flowtable {
namespace {

#define SLUICE_TARGET __attribute__((target("avx2,aes")))
struct Wide {
  __m256i low;
  __m256i high;
};
SLUICE_TARGET inline Wide load(const FlowKey& key) {
  const auto* p = reinterpret_cast<const __m256i*>(&key);
  return {_mm256_loadu_si256(p), _mm256_loadu_si256(p + 1)};
}
SLUICE_TARGET inline void store(FlowKey& key, const Wide& value) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(&key), value.low);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(&key) + 1, value.high);
}
SLUICE_TARGET inline bool equal(const Wide& a, const Wide& b) {
  const __m256i differ = _mm256_or_si256(_mm256_xor_si256(a.low, b.low), _mm256_xor_si256(a.high, b.high));
  return _mm256_testz_si256(differ, differ) != 0;
}
SLUICE_TARGET inline Wide masked(const Wide& key, const ClassMask& mask) {
  const Wide bits = load(mask.mask);
  const __m256i high = _mm256_and_si256(key.high, bits.high);
  // In the register: a store of two bytes would hold up the load of 64 that follows.
  return {_mm256_and_si256(key.low, bits.low), _mm256_insert_epi16(high, static_cast<short>(mask.generation), 15)};
}

SLUICE_TARGET inline __m128i secret(const std::uint64_t* words) {
  return _mm_load_si128(reinterpret_cast<const __m128i*>(words));
}
SLUICE_TARGET inline __m128i lane_of(__m128i lane, const std::uint64_t* lanes, const std::uint64_t* rounds) {
  lane = _mm_xor_si128(lane, secret(lanes));
  for (std::size_t round = 0; round < 3; ++round) lane = _mm_aesenc_si128(lane, secret(rounds + 2 * round));
  return lane;
}

constexpr int kGeneration = 1 << 7;  ///< of the words of a key's last 16 bytes

SLUICE_TARGET inline std::uint64_t hash_of(const Wide& key, const HashKey& hash_key) {
  const std::uint64_t* lanes = hash_key.lanes.data();
  const std::uint64_t* rounds = hash_key.rounds.data();
  const __m128i a = lane_of(_mm256_castsi256_si128(key.low), lanes, rounds);
  const __m128i b = lane_of(_mm256_extracti128_si256(key.low, 1), lanes + 2, rounds);
  const __m128i c = lane_of(_mm256_castsi256_si128(key.high), lanes + 4, rounds);
  const __m128i last = _mm256_extracti128_si256(key.high, 1);
  const __m128i d = lane_of(_mm_blend_epi16(last, _mm_setzero_si128(), kGeneration), lanes + 6, rounds);
  __m128i joined = _mm_xor_si128(_mm_xor_si128(a, b), _mm_xor_si128(c, d));
  joined = _mm_aesenc_si128(joined, secret(rounds + 6));
  joined = _mm_aesenc_si128(joined, secret(rounds));
  return static_cast<std::uint64_t>(_mm_cvtsi128_si64(joined));
}

#include "flowtable/burst_kernel.ipp"

bool supported() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("aes"); }

}  // namespace

const Kernel kKernelAvx2{"avx2 aes", supported, hash_one, lookup_burst, mask_all};

}  // namespace sluice::flowtable
