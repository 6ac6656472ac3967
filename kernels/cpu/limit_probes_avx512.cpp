#include <immintrin.h>

#include "kernels/cpu/limit_probes_kernel.h"

namespace terrace {
namespace {

uint64_t read(const std::byte* data, size_t bytes) {
  __m512i sum[8];
  for (__m512i& part : sum) part = _mm512_setzero_si512();
  for (size_t i = 0; i < bytes; i += 512) {
    for (size_t k = 0; k < 8; ++k) sum[k] = _mm512_xor_si512(sum[k], _mm512_loadu_si512(data + i + 64 * k));
  }
  for (size_t k = 1; k < 8; ++k) sum[0] = _mm512_xor_si512(sum[0], sum[k]);
  return static_cast<uint64_t>(_mm512_reduce_add_epi64(sum[0]));
}

int64_t maddubs(int64_t rounds) {  // as on AVX2: products alone
  const __m512i factor = _mm512_set1_epi8(1);
  run_chains(rounds, _mm512_setzero_si512(), [factor](__m512i& chain) {
    chain = _mm512_maddubs_epi16(chain, factor);
    asm volatile("" : "+v"(chain));
  });
  return 64 * kProbeChains;
}

int64_t fp32_multiply_adds(int64_t rounds) {
  const __m512 factor = _mm512_set1_ps(0.5f), term = _mm512_set1_ps(1.0f);
  run_chains(rounds, _mm512_setzero_ps(), [factor, term](__m512& chain) {
    chain = _mm512_fmadd_ps(chain, factor, term);
    asm volatile("" : "+v"(chain));
  });
  return 16 * kProbeChains;
}

}  // namespace

const LimitProbes kAvx512Probes = {read, maddubs, fp32_multiply_adds, "vpmaddubsw and vfmadd, 512 bits"};

}  // namespace terrace
