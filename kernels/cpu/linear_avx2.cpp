// The linear kernels on AVX2, FMA and F16C: 8 output rows a vector, products of bytes by maddubs.

#include <immintrin.h>

#include "kernels/cpu/linear_float_tile.h"

namespace terrace {
namespace {

struct Avx2Vector {
  static constexpr int kLanes = 8;
  static constexpr bool kByteDot = false;
  static constexpr bool kTwoSums = false;
  static constexpr int kMostRows = 4;         // of x at a time, for floats
  static constexpr int kWeightRegisters = 8;  // of 16
  using Floats = __m256;
  using Ints = __m256i;
  using Bytes = __m256i;

  static Floats zero() { return _mm256_setzero_ps(); }
  static Floats broadcast(const float* from) { return _mm256_broadcast_ss(from); }
  static Floats load_floats(const uint8_t* from) { return _mm256_loadu_ps(reinterpret_cast<const float*>(from)); }
  static Floats load_f16(const uint8_t* from) { return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from))); }
  static Floats load_bf16(const uint8_t* from) {
    const __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
    return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
  }
  static void store(float* out, Floats a) { _mm256_storeu_ps(out, a); }
  static Floats mul(Floats a, Floats b) { return _mm256_mul_ps(a, b); }
  static Floats add_floats(Floats a, Floats b) { return _mm256_add_ps(a, b); }
  static Floats fma(Floats a, Floats b, Floats c) { return _mm256_fmadd_ps(a, b, c); }
  static Floats to_floats(Ints a) { return _mm256_cvtepi32_ps(a); }

  static Ints broadcast_int(const int32_t* from) { return _mm256_set1_epi32(*from); }
  static Ints add(Ints a, Ints b) { return _mm256_add_epi32(a, b); }
  static Ints subtract(Ints a, Ints b) { return _mm256_sub_epi32(a, b); }
  template <int kBits>
  static Ints shift_left(Ints a) { return _mm256_slli_epi32(a, kBits); }

  static Bytes load_bytes(const uint8_t* from) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)); }
  static Bytes low_nibbles(const uint8_t* from) { return _mm256_and_si256(load_bytes(from), _mm256_set1_epi8(15)); }
  static Bytes high_nibbles(const uint8_t* from) {
    return _mm256_and_si256(_mm256_srli_epi16(load_bytes(from), 4), _mm256_set1_epi8(15));
  }
  /// As 16-bit numbers.
  static Bytes even_bytes(Bytes a) { return _mm256_and_si256(a, _mm256_set1_epi16(255)); }
  static Bytes odd_bytes(Bytes a) { return _mm256_srli_epi16(a, 8); }
  static Bytes load_widened(const uint8_t* from) {
    return _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
  }

  /// 4 bytes of x in every lane.
  static Bytes broadcast_codes(const void* from) {
    int32_t four;
    __builtin_memcpy(&four, from, sizeof four);
    return _mm256_set1_epi32(four);
  }

  /// Products of code bytes by int8 codes, -128 included. maddubs saturates at 16 bits: sums of two products are added in 16 bits
  /// only as often as the largest codes allow (8, 4, 2 vectors for 4, 5, 6 bits), then widened.
  using Chain = Ints;
  static constexpr int longest_chain(int code_bits) { return 32767 / (2 * ((1 << code_bits) - 1) * 128); }
  static Chain begin_chain(Bytes weights, Bytes x) { return _mm256_maddubs_epi16(weights, x); }
  static Chain add_to_chain(Chain chain, Bytes weights, Bytes x) { return _mm256_add_epi16(chain, begin_chain(weights, x)); }
  /// The sum times 2^kShift.
  template <int kShift>
  static Ints end_chain(Chain chain) { return _mm256_madd_epi16(chain, _mm256_set1_epi16(1 << kShift)); }

  static Ints multiply_pairs(Bytes weights, Bytes x) { return _mm256_madd_epi16(weights, x); }
  static Ints add_pairs(Ints sums, Bytes weights, Bytes x) { return _mm256_add_epi32(sums, multiply_pairs(weights, x)); }

  static void pin(__m256i& value) { asm volatile("" : "+x"(value)); }
};

int32_t sum_of_lanes(__m256i a) {
  __m128i sum = _mm_add_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
  sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0x4e));
  sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0xb1));
  return _mm_cvtsi128_si32(sum);
}

uint32_t largest_lane(__m256i a) {
  __m128i max = _mm_max_epu32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
  max = _mm_max_epu32(max, _mm_shuffle_epi32(max, 0x4e));
  max = _mm_max_epu32(max, _mm_shuffle_epi32(max, 0xb1));
  return static_cast<uint32_t>(_mm_cvtsi128_si32(max));
}

/// 32 codes in 16 bits, in column order.
struct Codes16 {
  __m256i first;   // columns 0-15
  __m256i second;  // columns 16-31
};

/// int16 to bytes, in column order; the values fit.
__m256i narrow(__m256i first, __m256i second) {
  return _mm256_permute4x64_epi64(_mm256_packs_epi16(first, second), 0xd8);
}

void put_codes(ByteBlock& block, const Codes16& codes) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(block.codes), narrow(codes.first, codes.second));
}

void put_codes(WideBlock& block, const Codes16& codes) {
  const auto swap_middle = [](__m256i a) { return _mm256_shufflehi_epi16(_mm256_shufflelo_epi16(a, 0xd8), 0xd8); };
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(block.codes), swap_middle(codes.first));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(block.codes + 16), swap_middle(codes.second));
}

void put_codes(PlaneBlock& block, const Codes16& codes) {
  const __m256i half = _mm256_set1_epi16(128);  // |code| <= 32639: adding it cannot overflow
  const __m256i high0 = _mm256_srai_epi16(_mm256_add_epi16(codes.first, half), 8);
  const __m256i high1 = _mm256_srai_epi16(_mm256_add_epi16(codes.second, half), 8);
  const __m256i low0 = _mm256_sub_epi16(codes.first, _mm256_slli_epi16(high0, 8));
  const __m256i low1 = _mm256_sub_epi16(codes.second, _mm256_slli_epi16(high1, 8));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(block.high), narrow(high0, high1));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(block.low), narrow(low0, low1));
}

template <class Block>
void quantize_block(const float* x, float max_code, Block& block) {
  __m256 values[4];
  __m256i bits = _mm256_setzero_si256();
  for (int i = 0; i < 4; ++i) {
    values[i] = _mm256_loadu_ps(x + 8 * i);
    bits = _mm256_max_epu32(bits, _mm256_and_si256(_mm256_castps_si256(values[i]), _mm256_set1_epi32(0x7fffffff)));
  }
  const uint32_t largest = largest_lane(bits);
  float magnitude;
  __builtin_memcpy(&magnitude, &largest, sizeof magnitude);
  if (largest >= 0x7f800000u || magnitude < kMinMagnitude) {
    block = {};
    if (largest >= 0x7f800000u) block.scale = block.scaled_sum = __builtin_nanf("");
    return;
  }
  const __m256 inverse = _mm256_set1_ps(max_code / magnitude);
  __m256i codes[4];
  for (int i = 0; i < 4; ++i) codes[i] = _mm256_cvtps_epi32(_mm256_mul_ps(values[i], inverse));
  put_codes(block, {_mm256_permute4x64_epi64(_mm256_packs_epi32(codes[0], codes[1]), 0xd8),
                    _mm256_permute4x64_epi64(_mm256_packs_epi32(codes[2], codes[3]), 0xd8)});
  block.second_sum = sum_of_lanes(_mm256_add_epi32(codes[2], codes[3]));
  block.sum = sum_of_lanes(_mm256_add_epi32(codes[0], codes[1])) + block.second_sum;
  block.scale = magnitude / max_code;
  block.scaled_sum = block.scale * static_cast<float>(block.sum);
}

template <class Block, bool kFine>
void quantize(const float* x, int64_t cols, void* blocks, int64_t stride) {
  constexpr float kMaxCode = kFine ? kMaxCode16 : kMaxCode8;
  Block* out = static_cast<Block*>(blocks);
  for (; cols >= kBlockColumns; cols -= kBlockColumns, x += kBlockColumns, out += stride) quantize_block(x, kMaxCode, *out);
  if (cols > 0) {
    float padded[kBlockColumns] = {};
    __builtin_memcpy(padded, x, static_cast<size_t>(cols) * sizeof(float));
    quantize_block(padded, kMaxCode, *out);
  }
}

constexpr LinearKernels kAvx2Kernels = {
    .tile_rows = Avx2Vector::kLanes,
    .byte_dot = Avx2Vector::kByteDot,
    .multiply = &choose_multiply<Avx2Vector>,
    .quantize = {nullptr, &quantize<ByteBlock, false>, &quantize<PlaneBlock, true>, &quantize<WideBlock, false>,
                 &quantize<WideBlock, true>},
};

}  // namespace

const LinearKernels& avx2_linear_kernels() { return kAvx2Kernels; }

}  // namespace terrace
