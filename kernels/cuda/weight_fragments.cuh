// A lane's operands of mma.m16n8k16 from packed weights (device_weight.h). Codes become f16 exactly: 0x6400 + code is the f16 of 1024 + code.
#pragma once

#include "kernels/cuda/device_weight.h"
#include "kernels/cuda/ptx.cuh"

namespace terrace {

__device__ __forceinline__ __half2 as_half2(uint32_t bits) {
  __half2 value;
  memcpy(static_cast<void*>(&value), &bits, sizeof bits);
  return value;
}

__device__ __forceinline__ uint32_t half2_bits(__half2 value) {
  uint32_t bits;
  memcpy(&bits, static_cast<const void*>(&value), sizeof bits);
  return bits;
}

/// Of one group: step[s] is the 16-row operand of columns 16 s .. 16 s + 15.
struct WeightFragments {
  uint32_t step[2][4];
};

/// Eight 4-bit codes of one output, nibble i + 4 j of the word being column 2 i + j: elements `at` and `at` + 2 of both steps.
__device__ __forceinline__ void expand_nibbles(uint32_t word, const DeviceWeight& weight, int at, WeightFragments& out) {
  const __half2 bias = as_half2(weight.code_bias);
  constexpr uint32_t kSixteenth = 0x2c002c00u;  // two f16
#pragma unroll
  for (int s = 0; s < 2; ++s) {
    const uint32_t codes = word >> (8 * s);
    out.step[s][at] = half2_bits(__hsub2(as_half2((codes & 0x000f000fu) | 0x64006400u), bias));
    out.step[s][at + 2] = ptx::fma_f16x2((codes & 0x00f000f0u) | 0x64006400u, kSixteenth, weight.high_code_bias);
  }
}

/// Four 8-bit codes of one output and step, in column order.
__device__ __forceinline__ void expand_bytes(uint32_t word, const DeviceWeight& weight, uint32_t& low, uint32_t& high) {
  const __half2 bias = as_half2(weight.code_bias);
  low = half2_bits(__hsub2(as_half2(ptx::byte_permute(word, 0x64646464u, 0x4140u)), bias));
  high = half2_bits(__hsub2(as_half2(ptx::byte_permute(word, 0x64646464u, 0x4342u)), bias));
}

/// 16-byte pieces of a strip's stage that hold a lane's codes: both groups' for nibbles, else one group's (kHalves: outputs g and g + 8 in two pieces).
template <CodeKind kKind>
struct LanePieces {
  static constexpr int kPerStage = code_bytes(kKind) / 512;
  uint4 piece[kPerStage];
};

template <CodeKind kKind>
__device__ __forceinline__ WeightFragments expand(const LanePieces<kKind>& pieces, int group, const DeviceWeight& weight) {
  WeightFragments out;
  if constexpr (kKind == CodeKind::kNibbles) {
    const uint4 all = pieces.piece[0];
    expand_nibbles(group == 0 ? all.x : all.z, weight, 0, out);
    expand_nibbles(group == 0 ? all.y : all.w, weight, 1, out);
  } else if constexpr (kKind == CodeKind::kHalves) {
    const uint4 upper = pieces.piece[2 * group], lower = pieces.piece[2 * group + 1];
    out = {{{upper.x, lower.x, upper.y, lower.y}, {upper.z, lower.z, upper.w, lower.w}}};
  } else {
    const uint4 codes = pieces.piece[group];
    expand_bytes(codes.x, weight, out.step[0][0], out.step[0][2]);
    expand_bytes(codes.y, weight, out.step[1][0], out.step[1][2]);
    expand_bytes(codes.z, weight, out.step[0][1], out.step[0][3]);
    expand_bytes(codes.w, weight, out.step[1][1], out.step[1][3]);
  }
  return out;
}

/// Scales and mins of outputs g and g + 8.
struct ScalePair {
  float scale[2];
  float min[2];
};

__device__ __forceinline__ float2 half2_floats(uint32_t bits) { return __half22float2(as_half2(bits)); }

/// From the entry of g; `has_min` and `half_scales` are the same for all lanes.
__device__ __forceinline__ ScalePair read_scales(const uint8_t* entry, bool half_scales, bool has_min) {
  if (half_scales && has_min) {
    const uint2 bits = *reinterpret_cast<const uint2*>(entry);
    const float2 first = half2_floats(bits.x), second = half2_floats(bits.y);
    return {{first.x, second.x}, {first.y, second.y}};
  }
  if (half_scales) {
    const float2 both = half2_floats(*reinterpret_cast<const uint32_t*>(entry));
    return {{both.x, both.y}, {0, 0}};
  }
  if (has_min) {
    const float4 all = *reinterpret_cast<const float4*>(entry);
    return {{all.x, all.z}, {all.y, all.w}};
  }
  const float2 both = *reinterpret_cast<const float2*>(entry);
  return {{both.x, both.y}, {0, 0}};
}

/// sum[16 outputs x 8 rows] of one group: acc += scale * (codes * x), for each scale group in order. `x`: the lane's 16 bytes of the group, row g.
template <CodeKind kKind>
__device__ __forceinline__ void multiply_group(float (&acc)[4], const WeightFragments& weights, const uint4& x, const ScalePair (&scales)[2]) {
  if constexpr (kKind == CodeKind::kHalves) {
    ptx::mma_f16(acc, weights.step[0], x.x, x.y);
    ptx::mma_f16(acc, weights.step[1], x.z, x.w);
    return;
  }
  float sum[4];
  ptx::mma_f16_first(sum, weights.step[0], x.x, x.y);
  if constexpr (kKind == CodeKind::kSixteenths) {
#pragma unroll
    for (int i = 0; i < 4; ++i) acc[i] = fmaf(scales[0].scale[i / 2], sum[i], acc[i]);
    ptx::mma_f16_first(sum, weights.step[1], x.z, x.w);
  } else {
    ptx::mma_f16(sum, weights.step[1], x.z, x.w);
  }
  const ScalePair& last = scales[kKind == CodeKind::kSixteenths ? 1 : 0];
#pragma unroll
  for (int i = 0; i < 4; ++i) acc[i] = fmaf(last.scale[i / 2], sum[i], acc[i]);
}

/// acc += min * (sums of rows 2 q and 2 q + 1 over the group).
__device__ __forceinline__ void add_min(float (&acc)[4], const ScalePair& scales, const float2& sums) {
#pragma unroll
  for (int i = 0; i < 4; ++i) acc[i] = fmaf(scales.min[i / 2], i % 2 == 0 ? sums.x : sums.y, acc[i]);
}

/// The output's value from the sum over all columns; `kind` is the weight's.
__device__ __forceinline__ float finish_sum(const DeviceProduct& product, CodeKind kind, float sum, int row, int output) {
  const float scaled = kind == CodeKind::kHalves ? sum * product.weight.scale : sum;
  const float bias = product.bias == nullptr ? 0.0f : product.bias[output];
  return fmaf(scaled, product.x.scale[row], bias);
}

}  // namespace terrace
