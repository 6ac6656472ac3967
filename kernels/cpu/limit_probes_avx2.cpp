#include <immintrin.h>

#include "kernels/cpu/limit_probes_kernel.h"

namespace terrace {
namespace {

uint64_t read(const std::byte* data, size_t bytes) {
  __m256i sum[8];
  for (__m256i& part : sum) part = _mm256_setzero_si256();
  for (size_t i = 0; i < bytes; i += 256) {
    for (size_t k = 0; k < 8; ++k) {
      sum[k] = _mm256_xor_si256(sum[k], _mm256_loadu_si256(reinterpret_cast<const __m256i*>(data + i + 32 * k)));
    }
  }
  for (size_t k = 1; k < 8; ++k) sum[0] = _mm256_xor_si256(sum[0], sum[k]);
  return static_cast<uint64_t>(_mm256_extract_epi64(sum[0], 0) ^ _mm256_extract_epi64(sum[0], 2));
}

/// Products alone: what limits any way of summing them. Each chain feeds its result back; the values mean nothing.
int64_t int8_multiply_adds(int64_t rounds) {
  const __m256i factor = _mm256_set1_epi8(1);
  run_chains(rounds, _mm256_setzero_si256(), [factor](__m256i& chain) {
    chain = _mm256_maddubs_epi16(chain, factor);
    asm volatile("" : "+x"(chain));  // a use, so that no round is left out
  });
  return 32 * kProbeChains;
}

int64_t fp32_multiply_adds(int64_t rounds) {
  const __m256 factor = _mm256_set1_ps(0.5f), term = _mm256_set1_ps(1.0f);
  run_chains(rounds, _mm256_setzero_ps(), [factor, term](__m256& chain) {
    chain = _mm256_fmadd_ps(chain, factor, term);
    asm volatile("" : "+x"(chain));
  });
  return 8 * kProbeChains;
}

}  // namespace

const LimitProbes kAvx2Probes = {read, int8_multiply_adds, fp32_multiply_adds, "vpmaddubsw and vfmadd, 256 bits"};

}  // namespace terrace
