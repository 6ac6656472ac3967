// The vector of the linear kernels on AVX-512 (F, BW, VL, DQ): 16 output rows, products of bytes by maddubs. Included by linear_avx512.cpp,
// linear_vnni.cpp and the two of AMX only, each compiled for its own level.
// Only intrinsics that tests/support/kernels/avx512_by_avx2.h knows: tests run them on machines without AVX-512 through it.
#pragma once

#include <immintrin.h>

#include "kernels/cpu/linear_float_tile.h"

namespace terrace {
namespace {

struct Avx512Vector {
  static constexpr int kLanes = 16;
  static constexpr bool kByteDot = false;
  static constexpr bool kTwoSums = false;
  static constexpr int kMostRows = 4;          // of x at a time, for floats
  static constexpr int kWeightRegisters = 16;  // of 32
  using Floats = __m512;
  using Ints = __m512i;
  using Bytes = __m512i;

  static Floats zero() { return _mm512_setzero_ps(); }
  static Floats broadcast(const float* from) { return _mm512_set1_ps(*from); }
  static Floats load_floats(const uint8_t* from) { return _mm512_loadu_ps(from); }
  static Floats load_f16(const uint8_t* from) { return _mm512_cvtph_ps(load_half(from)); }
  static Floats load_bf16(const uint8_t* from) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(load_half(from)), 16));
  }
  static void store(float* out, Floats a) { _mm512_storeu_ps(out, a); }
  static Floats mul(Floats a, Floats b) { return _mm512_mul_ps(a, b); }
  static Floats add_floats(Floats a, Floats b) { return _mm512_add_ps(a, b); }
  static Floats fma(Floats a, Floats b, Floats c) { return _mm512_fmadd_ps(a, b, c); }
  static Floats to_floats(Ints a) { return _mm512_cvtepi32_ps(a); }

  static Ints broadcast_int(const int32_t* from) { return _mm512_set1_epi32(*from); }
  static Ints add(Ints a, Ints b) { return _mm512_add_epi32(a, b); }
  static Ints subtract(Ints a, Ints b) { return _mm512_sub_epi32(a, b); }
  template <int kBits>
  static Ints shift_left(Ints a) { return _mm512_slli_epi32(a, kBits); }

  static Bytes load_bytes(const uint8_t* from) { return _mm512_loadu_si512(from); }
  static Bytes low_nibbles(const uint8_t* from) { return _mm512_and_si512(load_bytes(from), _mm512_set1_epi8(15)); }
  static Bytes high_nibbles(const uint8_t* from) {
    return _mm512_and_si512(_mm512_srli_epi16(load_bytes(from), 4), _mm512_set1_epi8(15));
  }
  /// As 16-bit numbers.
  static Bytes even_bytes(Bytes a) { return _mm512_and_si512(a, _mm512_set1_epi16(255)); }
  static Bytes odd_bytes(Bytes a) { return _mm512_srli_epi16(a, 8); }
  static Bytes load_widened(const uint8_t* from) { return _mm512_cvtepi8_epi16(load_half(from)); }
  static __m256i load_half(const uint8_t* from) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)); }

  /// 4 bytes of x in every lane.
  static Bytes broadcast_codes(const void* from) {
    int32_t four;
    __builtin_memcpy(&four, from, sizeof four);
    return _mm512_set1_epi32(four);
  }

  /// As on AVX2: sums of two products, added in 16 bits only as often as the largest codes allow.
  using Chain = Ints;
  static constexpr int longest_chain(int code_bits) { return 32767 / (2 * ((1 << code_bits) - 1) * 128); }
  static Chain begin_chain(Bytes weights, Bytes x) { return _mm512_maddubs_epi16(weights, x); }
  static Chain add_to_chain(Chain chain, Bytes weights, Bytes x) { return _mm512_add_epi16(chain, begin_chain(weights, x)); }
  template <int kShift>
  static Ints end_chain(Chain chain) { return _mm512_madd_epi16(chain, _mm512_set1_epi16(1 << kShift)); }

  static Ints multiply_pairs(Bytes weights, Bytes x) { return _mm512_madd_epi16(weights, x); }
  static Ints add_pairs(Ints sums, Bytes weights, Bytes x) { return _mm512_add_epi32(sums, multiply_pairs(weights, x)); }

  static void pin(__m512i&) {}  // 32 registers: nothing spills
};

/// Where products of unsigned by signed bytes sum up in 32 bits at once, for all 8 bits of a code: VNNI and AMX.
struct ByteDotVector : Avx512Vector {
  static constexpr bool kByteDot = true;
  static constexpr int longest_chain(int) { return 8; }
};

template <class V>
LinearKernels make_kernels() {
  LinearKernels kernels = avx2_linear_kernels();  // activations are quantised as there
  kernels.tile_rows = V::kLanes;
  kernels.byte_dot = V::kByteDot;
  kernels.multiply = &choose_multiply<V>;
  return kernels;
}

}  // namespace
}  // namespace terrace
