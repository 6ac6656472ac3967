// The scalar and fragment arithmetic that attention's kernels share, so that a piece folded in registers and a piece stored and
// joined later give equal bits. Products that feed sums are written as fmaf: nothing is left to the compiler's contraction.
#pragma once

#include <cstdint>
#include <cstring>

#include "kernels/cuda/attention_kernels.h"
#include "kernels/cuda/ptx.cuh"

namespace terrace::attention {

inline constexpr unsigned kAllLanes = 0xffffffffu;

/// The bits of two 16-bit floats.
template <class Pair>
__device__ __forceinline__ uint32_t bits_of(const Pair& pair) {
  uint32_t bits;
  memcpy(&bits, &pair, sizeof bits);
  return bits;
}

/// What is multiplied: two elements to a register, the first in the low half.
template <KvElement kElement>
struct Product {  // all but kBf16
  static constexpr uint32_t kOnes = 0x3c003c00u;
  static constexpr uint32_t kInfinity = 0x7c00u;
  static __device__ __forceinline__ uint32_t pack(float low, float high) { return bits_of(__floats2half2_rn(low, high)); }
  static __device__ __forceinline__ void mma(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) { ptx::mma_f16(d, a, b0, b1); }
  /// The power of two to take out of a row of queries whose largest magnitude is this: what is left is below 2^15.
  static __device__ __forceinline__ int excess(float largest) {
    const int exponent = static_cast<int>(__float_as_uint(largest) >> 23) - 127;
    return exponent > 14 ? exponent - 14 : 0;
  }
};

template <>
struct Product<KvElement::kBf16> {
  static constexpr uint32_t kOnes = 0x3f803f80u;
  static constexpr uint32_t kInfinity = 0x7f80u;
  static __device__ __forceinline__ uint32_t pack(float low, float high) { return bits_of(__floats2bfloat162_rn(low, high)); }
  static __device__ __forceinline__ void mma(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) { ptx::mma_bf16(d, a, b0, b1); }
  static __device__ __forceinline__ int excess(float) { return 0; }  // bf16 has float's range
};

/// Whether one of the two 16-bit floats is infinite or NaN.
template <KvElement kElement>
__device__ __forceinline__ bool any_not_finite(uint32_t pair) {
  constexpr uint32_t kCarry = 0x8000u - Product<kElement>::kInfinity;
  return (((pair & 0x7fff7fffu) + (kCarry << 16 | kCarry)) & 0x80008000u) != 0;
}

/// How a piece (b) joins what lies left of it (a): O = O_a * a + O_b * b.
struct JoinWeights {
  float a, b;
  float lse;  // of both
};

__device__ __forceinline__ JoinWeights join_weights(float lse_a, float lse_b) {
  const float largest = fmaxf(lse_a, lse_b);
  const float a = ptx::exp2_approx(lse_a - largest);
  const float b = ptx::exp2_approx(lse_b - largest);
  const float sum = a + b;
  const float share = 1.0f / sum;
  return {a * share, b * share, largest + ptx::log2_approx(sum)};
}

__device__ __forceinline__ float join(float a, float b, const JoinWeights& weights) { return fmaf(b, weights.b, a * weights.a); }

}  // namespace terrace::attention
