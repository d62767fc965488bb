// The kernel for CPUs with AVX-512 and vector AES (Intel from Ice Lake, AMD from Zen 4 on): a key is one register. The
// hash is that of kernel_aes.cpp, its four lanes at once.
#include <cpuid.h>

#ifndef __clang__
// gcc 12 takes its own _mm512_undefined_*() in the intrinsics for a mistake of ours (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>

#include "flowtable/flow_table.hpp"
#include "flowtable/kernel.hpp"

namespace sluice::flowtable {
namespace {

#define SLUICE_TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx2,aes,vaes")))
using Wide = __m512i;
SLUICE_TARGET inline Wide load(const FlowKey& key) { return _mm512_loadu_si512(&key); }
SLUICE_TARGET inline void store(FlowKey& key, const Wide& value) { _mm512_storeu_si512(&key, value); }
SLUICE_TARGET inline bool equal(const Wide& a, const Wide& b) { return _mm512_cmpneq_epi64_mask(a, b) == 0; }
constexpr __mmask32 kGeneration = __mmask32{1} << 31U;
SLUICE_TARGET inline Wide masked(const Wide& key, const ClassMask& mask) {
  // In the register: a store of two bytes would hold up the load of 64 that follows.
  return _mm512_mask_set1_epi16(_mm512_and_si512(key, load(mask.mask)), kGeneration,
                                static_cast<short>(mask.generation));
}

SLUICE_TARGET inline __m128i secret(const std::uint64_t* words) {
  return _mm_load_si128(reinterpret_cast<const __m128i*>(words));
}

SLUICE_TARGET inline std::uint64_t hash_of(const Wide& key, const HashKey& hash_key) {
  const std::uint64_t* rounds = hash_key.rounds.data();
  const Wide hashed = _mm512_maskz_mov_epi16(~kGeneration, key);
  __m512i lanes = _mm512_xor_si512(hashed, _mm512_load_si512(hash_key.lanes.data()));
  for (std::size_t round = 0; round < 3; ++round) {
    lanes = _mm512_aesenc_epi128(lanes, _mm512_broadcast_i32x4(secret(rounds + 2 * round)));
  }
  const __m256i halves = _mm256_xor_si256(_mm512_castsi512_si256(lanes), _mm512_extracti64x4_epi64(lanes, 1));
  __m128i joined = _mm_xor_si128(_mm256_castsi256_si128(halves), _mm256_extracti128_si256(halves, 1));
  joined = _mm_aesenc_si128(joined, secret(rounds + 6));
  joined = _mm_aesenc_si128(joined, secret(rounds));
  return static_cast<std::uint64_t>(_mm_cvtsi128_si64(joined));
}

#include "flowtable/burst_kernel.ipp"

// The compilers' list of names has no "vaes" in common: CPUID leaf 7, ECX bit 9 (Intel SDM, volume 2, CPUID).
bool has_vaes() {
  unsigned eax = 0;
  unsigned ebx = 0;
  unsigned ecx = 0;
  unsigned edx = 0;
  return __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) != 0 && (ecx & (1U << 9U)) != 0;
}

bool supported() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("aes") &&
         has_vaes();
}

}  // namespace

const Kernel kKernelAvx512{"avx512 vaes", supported, hash_one, lookup_burst, mask_all};

}  // namespace sluice::flowtable
