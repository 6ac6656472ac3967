// Sixteen floats in one AVX-512 register, for loops whose lanes never meet: what a lane computes does not depend on the
// vector's width, so these may stand in for two Lanes (lanes.h) bit for bit. Included by *_avx512.cpp only.
#pragma once

#include <immintrin.h>

namespace terrace {
namespace {

struct Avx512Wide {
  static constexpr int kWidth = 16;
  __m512 reg;

  static Avx512Wide broadcast(float value) { return {_mm512_set1_ps(value)}; }
  static Avx512Wide zero() { return {_mm512_setzero_ps()}; }
  static Avx512Wide load(const float* src) { return {_mm512_loadu_ps(src)}; }
  void store(float* dst) const { _mm512_storeu_ps(dst, reg); }
  friend Avx512Wide operator+(Avx512Wide a, Avx512Wide b) { return {_mm512_add_ps(a.reg, b.reg)}; }
  static Avx512Wide fma(Avx512Wide a, Avx512Wide b, Avx512Wide c) { return {_mm512_fmadd_ps(a.reg, b.reg, c.reg)}; }
};

}  // namespace
}  // namespace terrace
