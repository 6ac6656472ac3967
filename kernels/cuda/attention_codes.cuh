// Codes of KV pages (kv_format.h) as the f16 numbers that attention multiplies. Each is the value, rounded once.
#pragma once

#include <cstdint>

#include "kernels/cuda/attention_arithmetic.cuh"
#include "kernels/kv_format.h"

namespace terrace::attention {

/// Two of four 8-bit integers, from byte kFirst on, times the row's scale. Plus 128 they are the low bits of a float from 2^23 on.
template <int kFirst>
__device__ __forceinline__ uint32_t f16_of_q8(uint32_t codes, float scale) {
  const auto value = [&](int byte) { return (__uint_as_float(ptx::byte_permute(codes ^ 0x80808080u, 0x4b000000u, 0x7650 + byte)) - 8388736.0f) * scale; };
  return Product<KvElement::kScaled>::pack(value(kFirst), value(kFirst + 1));
}

/// Of four floats of 8 bits, whose sign, exponent and mantissa become an f16's, which is then 2^-8 of the value. sm_80 has no instruction for it.
__device__ __forceinline__ uint2 f16_of_f8(uint32_t codes) {
  constexpr uint32_t kLowPair = 0x1404, kHighPair = 0x3424;  // each byte to the upper half of 16 bits
  constexpr uint32_t kFactor = 0x5c005c00u, kMinusZero = 0x80008000u;
  const auto pair = [&](uint32_t selector) {
    const uint32_t apart = ptx::byte_permute(codes, 0, selector);
    return ptx::fma_f16x2((apart & 0x80008000u) | (apart >> 1 & 0x3f803f80u), kFactor, kMinusZero);
  };
  uint2 result = make_uint2(pair(kLowPair), pair(kHighPair));
  const uint32_t nan = ((codes & 0x7f7f7f7fu) + 0x01010101u) & 0x80808080u;
  if (nan != 0) {
    const auto ones = [&](uint32_t selector) { return (ptx::byte_permute(nan, 0, selector) >> 15) * 0x7fffu; };
    result = make_uint2(result.x | ones(kLowPair), result.y | ones(kHighPair));
  }
  return result;
}

/// Four levels from code `first` on, plus 128: a byte each.
constexpr uint32_t q4_level_bytes(int first) {
  uint32_t bytes = 0;
  for (int i = 0; i < 4; ++i) bytes |= static_cast<uint32_t>(kQ4Levels[first + i] + 128) << (8 * i);
  return bytes;
}

/// Of the four codes in the lower 16 bits: their levels plus 128.
__device__ __forceinline__ uint32_t q4_levels(uint32_t codes) {
  constexpr uint32_t k0 = q4_level_bytes(0), k4 = q4_level_bytes(4), k8 = q4_level_bytes(8), k12 = q4_level_bytes(12);
  const uint32_t below = ptx::byte_permute(k0, k4, codes);  // by a code's lower three bits; the fourth chooses
  const uint32_t above = ptx::byte_permute(k8, k12, codes);
  return ptx::byte_permute(below, above, 0x3210 | (codes >> 1 & 0x4444));
}

/// Four dims of each half of a run of 32.
struct Q4Dims {
  uint2 low, high;
};

/// `codes`: four bytes of a run; `scales`: the run's two.
__device__ __forceinline__ Q4Dims f16_of_q4(uint32_t codes, uint32_t scales) {
  const uint32_t front = q4_levels(codes), back = q4_levels(codes >> 16);
  const auto pair = [](uint32_t levels, uint32_t selector, uint32_t scale) {
    const uint32_t apart = ptx::byte_permute(levels, 0x64646464u, selector);    // 1024 + level + 128
    return ptx::fma_f16x2(ptx::fma_f16x2(apart, 0x20002000u, 0xc880c880u), scale, 0x80008000u);  // / 128 - 9 is level / 128, exactly
  };
  constexpr uint32_t kLow = 0x4240, kHigh = 0x4341;  // of each byte the lower code, or the upper
  const uint32_t low = ptx::byte_permute(scales, 0, 0x1010), high = ptx::byte_permute(scales, 0, 0x3232);
  return {make_uint2(pair(front, kLow, low), pair(back, kLow, low)), make_uint2(pair(front, kHigh, high), pair(back, kHigh, high))};
}

}  // namespace terrace::attention
