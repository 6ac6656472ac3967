// ScalarPairs' twins in one AVX-512 register; see pairs.h. Included by ISA-specific files only.
// Only intrinsics that tests/support/kernels/avx512_by_avx2.h knows.
#pragma once

#include "kernels/cpu/lanes_avx512.h"
#include "kernels/cpu/pairs_avx2.h"

namespace terrace {
namespace {

template <bool kDotProducts>  // whether the processor has VNNI
struct Avx512Pairs {
  static constexpr int kWidth = 16;
  __m512i reg;

  static Avx512Pairs zero() { return {_mm512_setzero_si512()}; }
  static Avx512Pairs load(const int32_t* src) { return {_mm512_loadu_si512(src)}; }
  void store(int32_t* dst) const { _mm512_storeu_si512(dst, reg); }
  static Avx512Pairs broadcast(int32_t pair) { return {_mm512_set1_epi32(pair)}; }
  static Avx512Pairs add_products(Avx512Pairs sum, Avx512Pairs a, Avx512Pairs b) {
    if constexpr (kDotProducts) {
      return {_mm512_dpwssd_epi32(sum.reg, a.reg, b.reg)};
    } else {
      return {_mm512_add_epi32(sum.reg, _mm512_madd_epi16(a.reg, b.reg))};
    }
  }
  static void pin(Avx512Pairs& a) { pin_register(a.reg); }
  static Avx512Pairs join(Avx512Wide low, Avx512Wide high) {
    const __m512i shifted = _mm512_slli_epi32(_mm512_castps_si512(high.reg), 16);
    return {_mm512_mask_blend_epi16(0xaaaaaaaau, _mm512_castps_si512(low.reg), shifted)};
  }
  static void store_halves(const Avx512Wide (&x)[1], int32_t* dst) {
    const __m512i bits = _mm512_castps_si512(x[0].reg);
    const __m256i shifted = _mm256_slli_epi32(_mm512_extracti64x4_epi64(bits, 1), 16);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(dst), _mm256_blend_epi16(_mm512_castsi512_si256(bits), shifted, 0xaa));
  }
  Avx512Wide floats() const { return {_mm512_cvtepi32_ps(reg)}; }
  template <class Register>
  static void pin_register(Register& a) {
    if constexpr (!__is_class(Register)) asm("" : "+v"(a));  // a class where it is emulated
  }
  static void transpose(Avx512Pairs (&x)[16]) {
    __m512i a[16], b[16];
#pragma GCC unroll 16
    for (int i = 0; i < 16; i += 2) {  // a[i], a[i + 1]: in each quarter, lanes 0 0 1 1 and 2 2 3 3 of rows i, i + 1
      a[i] = _mm512_unpacklo_epi32(x[i].reg, x[i + 1].reg);
      a[i + 1] = _mm512_unpackhi_epi32(x[i].reg, x[i + 1].reg);
    }
#pragma GCC unroll 16
    for (int i = 0; i < 16; i += 4) {  // b[i + l]: lane l of each quarter, rows i..i + 3
      b[i] = _mm512_unpacklo_epi64(a[i], a[i + 2]);
      b[i + 1] = _mm512_unpackhi_epi64(a[i], a[i + 2]);
      b[i + 2] = _mm512_unpacklo_epi64(a[i + 1], a[i + 3]);
      b[i + 3] = _mm512_unpackhi_epi64(a[i + 1], a[i + 3]);
    }
#pragma GCC unroll 16
    for (int l = 0; l < 4; ++l) {  // quarters 0 2 | 0 2 and 1 3 | 1 3 of rows 0..7, then of rows 8..15
      const __m512i even = _mm512_shuffle_i32x4(b[l], b[4 + l], 0x88), odd = _mm512_shuffle_i32x4(b[l], b[4 + l], 0xdd);
      const __m512i even_below = _mm512_shuffle_i32x4(b[8 + l], b[12 + l], 0x88), odd_below = _mm512_shuffle_i32x4(b[8 + l], b[12 + l], 0xdd);
      x[l].reg = _mm512_shuffle_i32x4(even, even_below, 0x88);
      x[8 + l].reg = _mm512_shuffle_i32x4(even, even_below, 0xdd);
      x[4 + l].reg = _mm512_shuffle_i32x4(odd, odd_below, 0x88);
      x[12 + l].reg = _mm512_shuffle_i32x4(odd, odd_below, 0xdd);
    }
  }
  template <class Half>
  static void largest_halves(const Half* const* rows, int32_t n, Avx2Lanes (&largest)[2]) { Avx2Pairs::largest_halves(rows, n, largest); }
};

template <bool kDotProducts>
struct Avx512Vectors {
  using Lanes = Avx2Lanes;
  using Wide = Avx512Wide;
  using Pairs = Avx512Pairs<kDotProducts>;
  using LanePairs = Avx2Pairs;  // as many as Lanes
};

}  // namespace
}  // namespace terrace
