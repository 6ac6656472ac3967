// Sixteen floats in one AVX-512 register, for loops whose lanes never meet: what a lane computes does not depend on the
// vector's width, so these may stand in for two Lanes (lanes.h) bit for bit. Included by *_avx512.cpp only.
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
  static void unpack(const uint8_t* codes, const float* scales, float* to) {
    const __m512 levels = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(kQ4Levels))));
    const __m512i both = _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(codes)));
    // Of an index only the low 4 bits count.
    _mm512_storeu_ps(to, _mm512_mul_ps(_mm512_permutexvar_ps(both, levels), _mm512_set1_ps(scales[0])));
    _mm512_storeu_ps(to + kWidth, _mm512_mul_ps(_mm512_permutexvar_ps(_mm512_srli_epi32(both, 4), levels), _mm512_set1_ps(scales[1])));
  }
  void store(float* dst) const { _mm512_storeu_ps(dst, reg); }
  friend Avx512Wide operator+(Avx512Wide a, Avx512Wide b) { return {_mm512_add_ps(a.reg, b.reg)}; }
  static Avx512Wide fma(Avx512Wide a, Avx512Wide b, Avx512Wide c) { return {_mm512_fmadd_ps(a.reg, b.reg, c.reg)}; }
};

}  // namespace
}  // namespace terrace
