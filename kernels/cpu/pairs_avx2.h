// ScalarPairs' twin in one AVX2 register; see pairs.h. Included by ISA-specific files only.
#pragma once

#include "kernels/cpu/lanes_avx2.h"
#include "kernels/cpu/pairs.h"

namespace terrace {
namespace {

struct Avx2Pairs {
  static constexpr int kWidth = kLanes;
  __m256i reg;

  static Avx2Pairs zero() { return {_mm256_setzero_si256()}; }
  static Avx2Pairs load(const int32_t* src) { return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(src))}; }
  void store(int32_t* dst) const { _mm256_storeu_si256(reinterpret_cast<__m256i*>(dst), reg); }
  static Avx2Pairs broadcast(int32_t pair) { return {_mm256_set1_epi32(pair)}; }
  static Avx2Pairs add_products(Avx2Pairs sum, Avx2Pairs a, Avx2Pairs b) {
    return {_mm256_add_epi32(sum.reg, _mm256_madd_epi16(a.reg, b.reg))};
  }
  /// Keeps the compiler from moving it to memory between the rounds of a loop.
  static void pin(Avx2Pairs& a) { asm("" : "+x"(a.reg)); }
  static Avx2Pairs join(Avx2Lanes low, Avx2Lanes high) {
    const __m256i shifted = _mm256_slli_epi32(_mm256_castps_si256(high.reg), 16);
    return {_mm256_blend_epi16(_mm256_castps_si256(low.reg), shifted, 0xaa)};
  }
  static void store_halves(const Avx2Lanes (&x)[2], int32_t* dst) { join(x[0], x[1]).store(dst); }
  Avx2Lanes floats() const { return {_mm256_cvtepi32_ps(reg)}; }
  static void transpose(Avx2Pairs (&x)[kLanes]) {
    Avx2Lanes square[kLanes];
#pragma GCC unroll 8
    for (int i = 0; i < kLanes; ++i) square[i].reg = _mm256_castsi256_ps(x[i].reg);
    Avx2Lanes::transpose(square);
#pragma GCC unroll 8
    for (int i = 0; i < kLanes; ++i) x[i].reg = _mm256_castps_si256(square[i].reg);
  }
  template <class Half>
  static void largest_halves(const Half* const* rows, int32_t n, Avx2Lanes (&largest)[2]) {
    __m256i most[kLanes];  // rows i | i + 8
#pragma GCC unroll 8
    for (int i = 0; i < kLanes; ++i) {
      const __m256i a = doubled_sizes(rows[i], n), b = doubled_sizes(rows[i + kLanes], n);
      most[i] = _mm256_max_epu16(_mm256_permute2x128_si256(a, b, 0x20), _mm256_permute2x128_si256(a, b, 0x31));
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) most[i] = max_of_both(most[i], most[i + 4]);  // 0 4 0 4 0 4 0 4
#pragma GCC unroll 2
    for (int i = 0; i < 2; ++i) most[i] = max_of_both(most[i], most[i + 2]);  // 0 2 4 6 0 2 4 6
    const __m256i all = _mm256_srli_epi16(max_of_both(most[0], most[1]), 1);
    Half bits[2 * kLanes];
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(bits), all);
    for (int i = 0; i < 2; ++i) largest[i] = Avx2Lanes::load(bits + i * kLanes);
  }

 private:
  /// Maxima of a row's elements, as integers without their sign times 2.
  template <class Half>
  [[gnu::always_inline]] static __m256i doubled_sizes(const Half* row, int32_t n) {
    __m256i most = _mm256_setzero_si256();
    int32_t i = 0;
    for (; i + 16 <= n; i += 16) {
      const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(row + i));
      most = _mm256_max_epu16(most, _mm256_add_epi16(bits, bits));
    }
    if (i == n) return most;
    Half tail[16] = {};
    for (int32_t d = i; d < n; ++d) tail[d - i] = row[d];
    const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(tail));
    return _mm256_max_epu16(most, _mm256_add_epi16(bits, bits));
  }
  /// Of neighbours in a and in b, by turns.
  static __m256i max_of_both(__m256i a, __m256i b) {
    return _mm256_max_epu16(_mm256_unpacklo_epi16(a, b), _mm256_unpackhi_epi16(a, b));
  }
};

struct Avx2Vectors {
  using Lanes = Avx2Lanes;
  using Wide = Avx2Lanes;
  using Pairs = Avx2Pairs;
  using LanePairs = Avx2Pairs;  // as many as Lanes
};

}  // namespace
}  // namespace terrace
