// ScalarLanes' twin in one AVX2 register; see lanes.h. Included by *_avx2.cpp only.
#pragma once

#include <immintrin.h>

#include "kernels/cpu/lanes.h"

namespace terrace {
namespace {

struct Avx2Lanes {
  static constexpr int kWidth = kLanes;
  __m256 reg;

  static Avx2Lanes broadcast(float value) { return {_mm256_set1_ps(value)}; }
  static Avx2Lanes zero() { return {_mm256_setzero_ps()}; }
  static Avx2Lanes load(const float* src) { return {_mm256_loadu_ps(src)}; }
  static Avx2Lanes load(const F16* src) {
    return {_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(src)))};
  }
  static Avx2Lanes load(const BF16* src) {
    const __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(src)));
    return {_mm256_castsi256_ps(_mm256_slli_epi32(wide, 16))};
  }
  static Avx2Lanes load(const Q8* src) {
    return {_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(src))))};
  }
  /// Sign, exponent and mantissa become those of an f16, which is then 2^-8 of the value.
  static Avx2Lanes load(const F8* src) {
    const __m128i apart = _mm_slli_epi16(_mm_cvtepi8_epi16(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(src))), 7);
    const __m128i half = _mm_and_si128(apart, _mm_set1_epi16(static_cast<int16_t>(0xbf80)));
    const __m128i nan = _mm_cmpeq_epi16(_mm_or_si128(half, _mm_set1_epi16(static_cast<int16_t>(0x8000))), _mm_set1_epi16(static_cast<int16_t>(0xbf80)));
    return {_mm256_mul_ps(_mm256_cvtph_ps(_mm_or_si128(half, nan)), _mm256_set1_ps(256.0f))};
  }
  static Avx2Lanes load(const Unpacked* src) { return load(&src->value); }
  static void unpack(const uint8_t* codes, const float* scales, float* to) {
    const __m128i levels = _mm_loadu_si128(reinterpret_cast<const __m128i*>(kQ4Levels)), nibble = _mm_set1_epi8(15);
    const __m128i both = _mm_loadu_si128(reinterpret_cast<const __m128i*>(codes));
    const __m128i halves[] = {_mm_shuffle_epi8(levels, _mm_and_si128(both, nibble)), _mm_shuffle_epi8(levels, _mm_and_si128(_mm_srli_epi16(both, 4), nibble))};
    const __m256 factors[] = {_mm256_broadcast_ss(scales), _mm256_broadcast_ss(scales + 1)};
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      const __m128i eight = i % 2 == 0 ? halves[i / 2] : _mm_unpackhi_epi64(halves[i / 2], halves[i / 2]);
      _mm256_storeu_ps(to + i * kLanes, _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(eight)), factors[i / 2]));
    }
  }
  void store(float* dst) const { _mm256_storeu_ps(dst, reg); }
  void store(F16* dst) const {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(dst),
                     _mm256_cvtps_ph(reg, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
  }
  void store(BF16* dst) const {
    alignas(32) float lane[kLanes];
    _mm256_store_ps(lane, reg);
    for (int i = 0; i < kLanes; ++i) dst[i].bits = round_to_bf16(lane[i]);
  }
  void store(F8* dst) const {  // as float_to_f8()
    const __m256i bits = _mm256_castps_si256(reg);
    const __m256i magnitude = _mm256_and_si256(bits, _mm256_set1_epi32(0x7fffffff));
    const __m256i rebased = _mm256_sub_epi32(magnitude, _mm256_set1_epi32(120 << 23));
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(rebased, 20), _mm256_set1_epi32(1));
    __m256i code = _mm256_srli_epi32(_mm256_add_epi32(_mm256_add_epi32(rebased, _mm256_set1_epi32(0x7ffff)), odd), 20);
    code = _mm256_min_epi32(code, _mm256_set1_epi32(0x7e));
    code = _mm256_blendv_epi8(code, _mm256_set1_epi32(0x7f), _mm256_cmpgt_epi32(magnitude, _mm256_set1_epi32(0x7f7fffff)));
    const __m256 rounded = _mm256_add_ps(_mm256_castsi256_ps(magnitude), _mm256_set1_ps(0x1p14f));
    const __m256i small = _mm256_sub_epi32(_mm256_castps_si256(rounded), _mm256_set1_epi32(0x46800000));
    code = _mm256_blendv_epi8(code, small, _mm256_cmpgt_epi32(_mm256_set1_epi32(0x3c800000), magnitude));
    code = _mm256_or_si256(code, _mm256_and_si256(_mm256_srli_epi32(bits, 24), _mm256_set1_epi32(0x80)));
    const __m128i words = _mm_packus_epi32(_mm256_castsi256_si128(code), _mm256_extracti128_si256(code, 1));
    _mm_storel_epi64(reinterpret_cast<__m128i*>(dst), _mm_packus_epi16(words, words));
  }
  float first() const { return _mm256_cvtss_f32(reg); }

  friend Avx2Lanes operator+(Avx2Lanes a, Avx2Lanes b) { return {_mm256_add_ps(a.reg, b.reg)}; }
  friend Avx2Lanes operator-(Avx2Lanes a, Avx2Lanes b) { return {_mm256_sub_ps(a.reg, b.reg)}; }
  friend Avx2Lanes operator*(Avx2Lanes a, Avx2Lanes b) { return {_mm256_mul_ps(a.reg, b.reg)}; }
  friend Avx2Lanes operator/(Avx2Lanes a, Avx2Lanes b) { return {_mm256_div_ps(a.reg, b.reg)}; }
  static Avx2Lanes fma(Avx2Lanes a, Avx2Lanes b, Avx2Lanes c) { return {_mm256_fmadd_ps(a.reg, b.reg, c.reg)}; }
  static Avx2Lanes max(Avx2Lanes a, Avx2Lanes b) { return {_mm256_max_ps(a.reg, b.reg)}; }
  static Avx2Lanes select_less(Avx2Lanes a, Avx2Lanes b, Avx2Lanes yes, Avx2Lanes no) {
    return {_mm256_blendv_ps(no.reg, yes.reg, _mm256_cmp_ps(a.reg, b.reg, _CMP_LT_OQ))};
  }
  static Avx2Lanes zero_if_less(Avx2Lanes a, Avx2Lanes b, Avx2Lanes value) {
    return {_mm256_andnot_ps(_mm256_cmp_ps(a.reg, b.reg, _CMP_LT_OQ), value.reg)};
  }
  static Avx2Lanes scale_by_exponent(Avx2Lanes value, Avx2Lanes shifted) {
    const __m256i exponent = _mm256_slli_epi32(_mm256_castps_si256(shifted.reg), 23);
    return {_mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(value.reg), exponent))};
  }
  static void transpose(Avx2Lanes (&x)[kLanes]) {
    __m256 pair[kLanes], quad[kLanes];
#pragma GCC unroll 8
    for (int i = 0; i < kLanes; i += 2) {
      pair[i] = _mm256_unpacklo_ps(x[i].reg, x[i + 1].reg);  // lanes 0 0 1 1 | 4 4 5 5 of rows i, i + 1
      pair[i + 1] = _mm256_unpackhi_ps(x[i].reg, x[i + 1].reg);
    }
#pragma GCC unroll 8
    for (int i = 0; i < kLanes; i += 4) {  // quad[i + l]: lanes l | l + 4 of rows i..i + 3
      quad[i] = _mm256_shuffle_ps(pair[i], pair[i + 2], 0x44);
      quad[i + 1] = _mm256_shuffle_ps(pair[i], pair[i + 2], 0xee);
      quad[i + 2] = _mm256_shuffle_ps(pair[i + 1], pair[i + 3], 0x44);
      quad[i + 3] = _mm256_shuffle_ps(pair[i + 1], pair[i + 3], 0xee);
    }
#pragma GCC unroll 8
    for (int i = 0; i < kLanes / 2; ++i) {
      x[i].reg = _mm256_permute2f128_ps(quad[i], quad[i + 4], 0x20);
      x[i + 4].reg = _mm256_permute2f128_ps(quad[i], quad[i + 4], 0x31);
    }
  }
  static Avx2Lanes swap_pairs(Avx2Lanes a) { return {_mm256_permute_ps(a.reg, 0xb1)}; }
  static float sum(Avx2Lanes a) {
    const __m256 pairs = _mm256_add_ps(a.reg, _mm256_permute_ps(a.reg, 0x4e));  // 0+2 1+3 . . | 4+6 5+7 . .
    const __m256 halves = _mm256_add_ps(pairs, _mm256_permute_ps(pairs, 0xb1));
    return _mm_cvtss_f32(_mm_add_ss(_mm256_castps256_ps128(halves), _mm256_extractf128_ps(halves, 1)));
  }
  static void sum4(Avx2Lanes a, Avx2Lanes b, Avx2Lanes c, Avx2Lanes d, float* dst) {
    const __m256 ab =
        _mm256_add_ps(_mm256_unpacklo_ps(a.reg, b.reg), _mm256_unpackhi_ps(a.reg, b.reg));  // a02 b02 a13 b13 | ...
    const __m256 cd = _mm256_add_ps(_mm256_unpacklo_ps(c.reg, d.reg), _mm256_unpackhi_ps(c.reg, d.reg));
    const __m256 abcd = _mm256_add_ps(_mm256_shuffle_ps(ab, cd, 0x44), _mm256_shuffle_ps(ab, cd, 0xee));
    _mm_storeu_ps(dst, _mm_add_ps(_mm256_castps256_ps128(abcd), _mm256_extractf128_ps(abcd, 1)));
  }
  static float largest(Avx2Lanes a) {
    __m128 half = _mm_max_ps(_mm256_castps256_ps128(a.reg), _mm256_extractf128_ps(a.reg, 1));
    half = _mm_max_ps(half, _mm_movehl_ps(half, half));
    return _mm_cvtss_f32(_mm_max_ss(half, _mm_shuffle_ps(half, half, 1)));
  }
  static float square_root(float value) { return _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(value))); }

 private:
  static uint16_t round_to_bf16(float value) {  // as float_to_bf16(), which is not for code compiled for an ISA
    const uint32_t bits = __builtin_bit_cast(uint32_t, value);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>((bits >> 16) | 0x40u);
    return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
  }
};

}  // namespace
}  // namespace terrace
