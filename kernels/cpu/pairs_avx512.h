// The vectors of attention_pairs.h on AVX-512 with AVX512_BF16. Included by files for those only.
#pragma once

#include <immintrin.h>

#include "kernels/cpu/lanes_avx512.h"

namespace terrace {
namespace {

/// Sixteen floats, in the words of lanes.h; sum() adds in an order of its own.
struct Avx512Floats {
  static constexpr int kWidth = 16;
  __m512 reg;

  static Avx512Floats broadcast(float value) { return {_mm512_set1_ps(value)}; }
  static Avx512Floats zero() { return {_mm512_setzero_ps()}; }
  static Avx512Floats load(const float* src) { return {_mm512_loadu_ps(src)}; }
  static Avx512Floats load(const F16* src) { return {_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(src)))}; }
  static Avx512Floats load(const BF16* src) {
    const __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(src)));
    return {_mm512_castsi512_ps(_mm512_slli_epi32(wide, 16))};
  }
  static Avx512Floats load(const Q8* src) {
    return {_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(src))))};
  }
  static Avx512Floats load(const F8* src) {  // as Avx2Lanes
    const __m256i apart = _mm256_slli_epi16(_mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(src))), 7);
    const __m256i half = _mm256_and_si256(apart, _mm256_set1_epi16(static_cast<int16_t>(0xbf80)));
    const __m256i nan = _mm256_cmpeq_epi16(_mm256_or_si256(half, _mm256_set1_epi16(static_cast<int16_t>(0x8000))), _mm256_set1_epi16(static_cast<int16_t>(0xbf80)));
    return {_mm512_mul_ps(_mm512_cvtph_ps(_mm256_or_si256(half, nan)), _mm512_set1_ps(256.0f))};
  }
  static Avx512Floats load(const Unpacked* src) { return load(&src->value); }
  static void unpack(const uint8_t* codes, const float* scales, float* to) { Avx512Wide::unpack(codes, scales, to); }
  void store(float* dst) const { _mm512_storeu_ps(dst, reg); }
  friend Avx512Floats operator+(Avx512Floats a, Avx512Floats b) { return {_mm512_add_ps(a.reg, b.reg)}; }
  friend Avx512Floats operator-(Avx512Floats a, Avx512Floats b) { return {_mm512_sub_ps(a.reg, b.reg)}; }
  friend Avx512Floats operator*(Avx512Floats a, Avx512Floats b) { return {_mm512_mul_ps(a.reg, b.reg)}; }
  static Avx512Floats fma(Avx512Floats a, Avx512Floats b, Avx512Floats c) { return {_mm512_fmadd_ps(a.reg, b.reg, c.reg)}; }
  static Avx512Floats max(Avx512Floats a, Avx512Floats b) { return {_mm512_max_ps(a.reg, b.reg)}; }
  static Avx512Floats zero_if_less(Avx512Floats a, Avx512Floats b, Avx512Floats value) {
    return {_mm512_maskz_mov_ps(_mm512_cmp_ps_mask(a.reg, b.reg, _CMP_NLT_UQ), value.reg)};
  }
  static Avx512Floats scale_by_exponent(Avx512Floats value, Avx512Floats shifted) {
    const __m512i exponent = _mm512_slli_epi32(_mm512_castps_si512(shifted.reg), 23);
    return {_mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(value.reg), exponent))};
  }
  static float sum(Avx512Floats a) { return _mm512_reduce_add_ps(a.reg); }
  static float largest(Avx512Floats a) { return _mm512_reduce_max_ps(a.reg); }
};

struct Bf16Pairs {
  using Wide = Avx512Floats;
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
