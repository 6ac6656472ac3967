// The AVX-512 intrinsics of kernels/cpu/linear_*.cpp and attention_avx512.cpp on machines that have only AVX2: each vector is two halves. Semantics
// after the Intel Intrinsics Guide. Include it in place of the real ones: it renames them.
#pragma once

#include <immintrin.h>

#include <cstdint>
#include <cstring>

namespace terrace::testing {

struct Ints512 {
  __m256i half[2];
};
struct Floats512 {
  __m256 half[2];
};

template <class Function>
Ints512 ints(Function function) {
  return {{function(0), function(1)}};
}
template <class Function>
Floats512 floats(Function function) {
  return {{function(0), function(1)}};
}

inline __m128i quarter(__m256i a, int i) { return i == 0 ? _mm256_castsi256_si128(a) : _mm256_extracti128_si256(a, 1); }

inline Floats512 setzero_ps() {
  return floats([](int) { return _mm256_setzero_ps(); });
}
inline Floats512 set1_ps(float a) {
  return floats([&](int) { return _mm256_set1_ps(a); });
}
inline Floats512 loadu_ps(const void* from) {
  return floats([&](int i) { return _mm256_loadu_ps(static_cast<const float*>(from) + 8 * i); });
}
inline void storeu_ps(float* to, Floats512 a) {
  for (int i = 0; i < 2; ++i) _mm256_storeu_ps(to + 8 * i, a.half[i]);
}
inline Floats512 cvtph_ps(__m256i a) {
  return floats([&](int i) { return _mm256_cvtph_ps(quarter(a, i)); });
}
inline Floats512 castsi512_ps(Ints512 a) {
  return floats([&](int i) { return _mm256_castsi256_ps(a.half[i]); });
}
inline Ints512 castps_si512(Floats512 a) {
  return ints([&](int i) { return _mm256_castps_si256(a.half[i]); });
}
inline Ints512 or_si512(Ints512 a, Ints512 b) {
  return ints([&](int i) { return _mm256_or_si256(a.half[i], b.half[i]); });
}
/// The lower half of each.
inline __m256i cvtepi32_epi16(Ints512 a) {
  alignas(32) uint16_t halves[16];
  for (int i = 0; i < 2; ++i) {
    alignas(32) uint32_t values[8];
    _mm256_store_si256(reinterpret_cast<__m256i*>(values), a.half[i]);
    for (int j = 0; j < 8; ++j) halves[8 * i + j] = static_cast<uint16_t>(values[j]);
  }
  return _mm256_load_si256(reinterpret_cast<const __m256i*>(halves));
}
inline Floats512 mul_ps(Floats512 a, Floats512 b) {
  return floats([&](int i) { return _mm256_mul_ps(a.half[i], b.half[i]); });
}
inline Floats512 add_ps(Floats512 a, Floats512 b) {
  return floats([&](int i) { return _mm256_add_ps(a.half[i], b.half[i]); });
}
inline Floats512 sub_ps(Floats512 a, Floats512 b) {
  return floats([&](int i) { return _mm256_sub_ps(a.half[i], b.half[i]); });
}
inline Floats512 max_ps(Floats512 a, Floats512 b) {
  return floats([&](int i) { return _mm256_max_ps(a.half[i], b.half[i]); });
}
/// Lanes where the comparison holds have all bits set: _CMP_NLT_UQ, !(a < b), or _CMP_UNORD_Q, one of them NaN.
inline Floats512 cmp_ps_mask(Floats512 a, Floats512 b, int comparison) {
  return floats([&](int i) {
    return comparison == _CMP_UNORD_Q ? _mm256_cmp_ps(a.half[i], b.half[i], _CMP_UNORD_Q) : _mm256_cmp_ps(a.half[i], b.half[i], _CMP_NLT_UQ);
  });
}
inline Floats512 mask_mov_ps(Floats512 otherwise, Floats512 mask, Floats512 a) {
  return floats([&](int i) { return _mm256_blendv_ps(otherwise.half[i], a.half[i], mask.half[i]); });
}
inline Floats512 maskz_mov_ps(Floats512 mask, Floats512 a) {
  return floats([&](int i) { return _mm256_and_ps(mask.half[i], a.half[i]); });
}
inline float reduce_add_ps(Floats512 a) {
  float sum = 0;
  for (int i = 0; i < 16; ++i) sum += a.half[i / 8][i % 8];
  return sum;
}
inline float reduce_max_ps(Floats512 a) {
  float most = a.half[0][0];
  for (int i = 1; i < 16; ++i) most = a.half[i / 8][i % 8] > most ? a.half[i / 8][i % 8] : most;
  return most;
}
inline Floats512 fmadd_ps(Floats512 a, Floats512 b, Floats512 c) {
  return floats([&](int i) { return _mm256_fmadd_ps(a.half[i], b.half[i], c.half[i]); });
}
inline Floats512 cvtepi32_ps(Ints512 a) {
  return floats([&](int i) { return _mm256_cvtepi32_ps(a.half[i]); });
}

inline Ints512 setzero_si512() {
  return ints([](int) { return _mm256_setzero_si256(); });
}
inline Ints512 set1_epi8(char a) {
  return ints([&](int) { return _mm256_set1_epi8(a); });
}
inline Ints512 set1_epi16(int16_t a) {
  return ints([&](int) { return _mm256_set1_epi16(a); });
}
inline Ints512 set1_epi32(int32_t a) {
  return ints([&](int) { return _mm256_set1_epi32(a); });
}
inline Ints512 loadu_si512(const void* from) {
  return ints([&](int i) { return _mm256_loadu_si256(static_cast<const __m256i*>(from) + i); });
}
inline void storeu_si512(void* to, Ints512 a) {
  for (int i = 0; i < 2; ++i) _mm256_storeu_si256(static_cast<__m256i*>(to) + i, a.half[i]);
}
inline Ints512 and_si512(Ints512 a, Ints512 b) {
  return ints([&](int i) { return _mm256_and_si256(a.half[i], b.half[i]); });
}
inline Ints512 add_epi16(Ints512 a, Ints512 b) {
  return ints([&](int i) { return _mm256_add_epi16(a.half[i], b.half[i]); });
}
inline Ints512 add_epi32(Ints512 a, Ints512 b) {
  return ints([&](int i) { return _mm256_add_epi32(a.half[i], b.half[i]); });
}
inline Ints512 sub_epi32(Ints512 a, Ints512 b) {
  return ints([&](int i) { return _mm256_sub_epi32(a.half[i], b.half[i]); });
}
inline Ints512 slli_epi32(Ints512 a, int bits) {
  return ints([&](int i) { return _mm256_slli_epi32(a.half[i], bits); });
}
inline Ints512 srli_epi16(Ints512 a, int bits) {
  return ints([&](int i) { return _mm256_srli_epi16(a.half[i], bits); });
}
inline Ints512 cvtepi8_epi16(__m256i a) {
  return ints([&](int i) { return _mm256_cvtepi8_epi16(quarter(a, i)); });
}
inline Ints512 cvtepu16_epi32(__m256i a) {
  return ints([&](int i) { return _mm256_cvtepu16_epi32(quarter(a, i)); });
}
inline Ints512 cvtepu8_epi32(__m128i a) {
  return ints([&](int i) { return _mm256_cvtepu8_epi32(i == 0 ? a : _mm_unpackhi_epi64(a, a)); });
}
inline Ints512 cvtepi8_epi32(__m128i a) {
  return ints([&](int i) { return _mm256_cvtepi8_epi32(i == 0 ? a : _mm_unpackhi_epi64(a, a)); });
}
inline Ints512 srli_epi32(Ints512 a, int bits) {
  return ints([&](int i) { return _mm256_srli_epi32(a.half[i], bits); });
}
/// Lane index % 16 of `a` for each index.
inline Floats512 permutexvar_ps(Ints512 index, Floats512 a) {
  uint32_t at[16];
  float from[16], to[16];
  std::memcpy(at, &index, 64);
  std::memcpy(from, &a, 64);
  for (int i = 0; i < 16; ++i) to[i] = from[at[i] % 16];
  return floats([&](int i) { return _mm256_loadu_ps(to + 8 * i); });
}
inline Ints512 maddubs_epi16(Ints512 a, Ints512 b) {
  return ints([&](int i) { return _mm256_maddubs_epi16(a.half[i], b.half[i]); });
}
inline Ints512 madd_epi16(Ints512 a, Ints512 b) {
  return ints([&](int i) { return _mm256_madd_epi16(a.half[i], b.half[i]); });
}
/// Each int32 of sums + 4 products of unsigned bytes of a by signed bytes of b, none of them rounded or saturated.
inline Ints512 dpbusd_epi32(Ints512 sums, Ints512 a, Ints512 b) {
  int32_t lanes[16];
  uint8_t left[64];
  int8_t right[64];
  std::memcpy(lanes, &sums, 64);
  std::memcpy(left, &a, 64);
  std::memcpy(right, &b, 64);
  for (int i = 0; i < 64; ++i) lanes[i / 4] += left[i] * right[i];
  std::memcpy(&sums, lanes, 64);
  return sums;
}
inline Ints512 dpwssd_epi32(Ints512 sums, Ints512 a, Ints512 b) { return add_epi32(sums, madd_epi16(a, b)); }

}  // namespace terrace::testing

#undef _mm512_cmp_ps_mask
#undef _mm512_slli_epi32  // macros already, where the compiler doesn't optimise
#undef _mm512_srli_epi16
#undef _mm512_srli_epi32
#define __m512i ::terrace::testing::Ints512
#define __m512 ::terrace::testing::Floats512
#define _mm512_setzero_ps ::terrace::testing::setzero_ps
#define _mm512_set1_ps ::terrace::testing::set1_ps
#define _mm512_loadu_ps ::terrace::testing::loadu_ps
#define _mm512_storeu_ps ::terrace::testing::storeu_ps
#define _mm512_cvtph_ps ::terrace::testing::cvtph_ps
#define _mm512_castsi512_ps ::terrace::testing::castsi512_ps
#define _mm512_castps_si512 ::terrace::testing::castps_si512
#define _mm512_or_si512 ::terrace::testing::or_si512
#define _mm512_cvtepi32_epi16 ::terrace::testing::cvtepi32_epi16
#define _mm512_mul_ps ::terrace::testing::mul_ps
#define _mm512_add_ps ::terrace::testing::add_ps
#define _mm512_fmadd_ps ::terrace::testing::fmadd_ps
#define _mm512_sub_ps ::terrace::testing::sub_ps
#define _mm512_max_ps ::terrace::testing::max_ps
#define _mm512_cmp_ps_mask ::terrace::testing::cmp_ps_mask
#define _mm512_maskz_mov_ps ::terrace::testing::maskz_mov_ps
#define _mm512_mask_mov_ps ::terrace::testing::mask_mov_ps
#define _mm512_reduce_add_ps ::terrace::testing::reduce_add_ps
#define _mm512_reduce_max_ps ::terrace::testing::reduce_max_ps
#define _mm512_cvtepi32_ps ::terrace::testing::cvtepi32_ps
#define _mm512_setzero_si512 ::terrace::testing::setzero_si512
#define _mm512_set1_epi8 ::terrace::testing::set1_epi8
#define _mm512_set1_epi16 ::terrace::testing::set1_epi16
#define _mm512_set1_epi32 ::terrace::testing::set1_epi32
#define _mm512_loadu_si512 ::terrace::testing::loadu_si512
#define _mm512_storeu_si512 ::terrace::testing::storeu_si512
#define _mm512_and_si512 ::terrace::testing::and_si512
#define _mm512_add_epi16 ::terrace::testing::add_epi16
#define _mm512_add_epi32 ::terrace::testing::add_epi32
#define _mm512_sub_epi32 ::terrace::testing::sub_epi32
#define _mm512_slli_epi32 ::terrace::testing::slli_epi32
#define _mm512_srli_epi16 ::terrace::testing::srli_epi16
#define _mm512_cvtepi8_epi16 ::terrace::testing::cvtepi8_epi16
#define _mm512_cvtepu16_epi32 ::terrace::testing::cvtepu16_epi32
#define _mm512_cvtepu8_epi32 ::terrace::testing::cvtepu8_epi32
#define _mm512_cvtepi8_epi32 ::terrace::testing::cvtepi8_epi32
#define _mm512_srli_epi32 ::terrace::testing::srli_epi32
#define _mm512_permutexvar_ps ::terrace::testing::permutexvar_ps
#define _mm512_maddubs_epi16 ::terrace::testing::maddubs_epi16
#define _mm512_madd_epi16 ::terrace::testing::madd_epi16
#define _mm512_dpbusd_epi32 ::terrace::testing::dpbusd_epi32
#define _mm512_dpwssd_epi32 ::terrace::testing::dpwssd_epi32
