// The vectors of attention_pairs.h on AVX-512 with AVX512_BF16. Included by files for those only.
#pragma once

#include <immintrin.h>

#include "kernels/cpu/lanes_avx512.h"

namespace terrace {
namespace {

struct Bf16Pairs {
  using Wide = Avx512Wide;
  static constexpr int kWidth = Wide::kWidth;
  __m512 reg;

  static Bf16Pairs zero() { return {_mm512_setzero_ps()}; }
  static Bf16Pairs load(const float* from) { return {_mm512_loadu_ps(from)}; }
  static Bf16Pairs broadcast(float pair) { return {_mm512_set1_ps(pair)}; }
  void store(float* to) const { _mm512_storeu_ps(to, reg); }
  static Bf16Pairs add_products(Bf16Pairs sum, Bf16Pairs a, Bf16Pairs b) {
    return {_mm512_dpbf16_ps(sum.reg, __builtin_bit_cast(__m512bh, a.reg), __builtin_bit_cast(__m512bh, b.reg))};
  }
  static Bf16Pairs narrow(Wide low, Wide high) { return {__builtin_bit_cast(__m512, _mm512_cvtne2ps_pbh(high.reg, low.reg))}; }
  static Bf16Pairs zip(Wide first, Wide second) {
    const __m512i low = _mm512_cvtepu16_epi32(__builtin_bit_cast(__m256i, _mm512_cvtneps_pbh(first.reg)));
    const __m512i high = _mm512_cvtepu16_epi32(__builtin_bit_cast(__m256i, _mm512_cvtneps_pbh(second.reg)));
    return {_mm512_castsi512_ps(_mm512_or_si512(low, _mm512_slli_epi32(high, 16)))};
  }
};

}  // namespace
}  // namespace terrace
