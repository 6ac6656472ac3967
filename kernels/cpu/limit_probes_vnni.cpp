#include <immintrin.h>

#include "kernels/cpu/limit_probes_kernel.h"

namespace terrace {
namespace {

int64_t dpbusd(int64_t rounds) {
  const __m512i factor = _mm512_set1_epi8(1);
  run_chains(rounds, _mm512_setzero_si512(), [factor](__m512i& chain) {
    chain = _mm512_dpbusd_epi32(chain, factor, factor);
    asm volatile("" : "+v"(chain));
  });
  return 64 * kProbeChains;
}

}  // namespace

int64_t vnni_int8_multiply_adds(int64_t rounds) { return dpbusd(rounds); }

}  // namespace terrace
