// Sixteen floats in one AVX-512 register, for loops whose lanes never meet: what a lane computes does not depend on the
// vector's width, so these may stand in for two Lanes (lanes.h) bit for bit; but for sum(), which adds in an order of its own.
// Included by files for AVX-512 only. Only intrinsics that tests/support/kernels/avx512_by_avx2.h knows.
#pragma once

#include <immintrin.h>

#include "kernels/cpu/lanes.h"

namespace terrace {
namespace {

struct Avx512Wide {
  static constexpr int kWidth = 16;
  __m512 reg;

  static Avx512Wide broadcast(float value) { return {_mm512_set1_ps(value)}; }
  static Avx512Wide zero() { return {_mm512_setzero_ps()}; }
  static Avx512Wide load(const float* src) { return {_mm512_loadu_ps(src)}; }
  static Avx512Wide load(const F16* src) { return {_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(src)))}; }
  static Avx512Wide load(const BF16* src) {
    const __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(src)));
    return {_mm512_castsi512_ps(_mm512_slli_epi32(wide, 16))};
  }
  static Avx512Wide load(const Q8* src) {
    return {_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(src))))};
  }
  static Avx512Wide load(const F8* src) {  // as Avx2Lanes
    const __m256i apart = _mm256_slli_epi16(_mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(src))), 7);
    const __m256i half = _mm256_and_si256(apart, _mm256_set1_epi16(static_cast<int16_t>(0xbf80)));
    const __m256i nan = _mm256_cmpeq_epi16(_mm256_or_si256(half, _mm256_set1_epi16(static_cast<int16_t>(0x8000))), _mm256_set1_epi16(static_cast<int16_t>(0xbf80)));
    return {_mm512_mul_ps(_mm512_cvtph_ps(_mm256_or_si256(half, nan)), _mm512_set1_ps(256.0f))};
  }
  static Avx512Wide load(const Unpacked* src) { return load(&src->value); }
  static void unpack(const uint8_t* codes, const float* scales, float* to) {
    const __m512 levels = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(kQ4Levels))));
    const __m512i both = _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(codes)));
    // Of an index only the low 4 bits count.
    _mm512_storeu_ps(to, _mm512_mul_ps(_mm512_permutexvar_ps(both, levels), _mm512_set1_ps(scales[0])));
    _mm512_storeu_ps(to + kWidth, _mm512_mul_ps(_mm512_permutexvar_ps(_mm512_srli_epi32(both, 4), levels), _mm512_set1_ps(scales[1])));
  }
  void store(float* dst) const { _mm512_storeu_ps(dst, reg); }
  friend Avx512Wide operator+(Avx512Wide a, Avx512Wide b) { return {_mm512_add_ps(a.reg, b.reg)}; }
  friend Avx512Wide operator-(Avx512Wide a, Avx512Wide b) { return {_mm512_sub_ps(a.reg, b.reg)}; }
  friend Avx512Wide operator*(Avx512Wide a, Avx512Wide b) { return {_mm512_mul_ps(a.reg, b.reg)}; }
  static Avx512Wide fma(Avx512Wide a, Avx512Wide b, Avx512Wide c) { return {_mm512_fmadd_ps(a.reg, b.reg, c.reg)}; }
  static Avx512Wide max(Avx512Wide a, Avx512Wide b) { return {_mm512_max_ps(a.reg, b.reg)}; }
  static Avx512Wide zero_if_less(Avx512Wide a, Avx512Wide b, Avx512Wide value) {
    return {_mm512_maskz_mov_ps(_mm512_cmp_ps_mask(a.reg, b.reg, _CMP_NLT_UQ), value.reg)};
  }
  static Avx512Wide scale_by_exponent(Avx512Wide value, Avx512Wide shifted) {
    const __m512i exponent = _mm512_slli_epi32(_mm512_castps_si512(shifted.reg), 23);
    return {_mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(value.reg), exponent))};
  }
  static float sum(Avx512Wide a) { return _mm512_reduce_add_ps(a.reg); }
  static float largest(Avx512Wide a) { return _mm512_reduce_max_ps(a.reg); }
};

}  // namespace
}  // namespace terrace
