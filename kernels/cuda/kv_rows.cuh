// How a row of K or V, one head of one token, becomes a page's numbers, by a warp, and how these are read: as on the CPU, bit by bit
// (kernels/cpu/row_ops_kernel.h, q4_row.h).
#pragma once

#ifndef TERRACE_CUDASIM
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#endif

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "kernels/base/half.h"
#include "kernels/kv_format.h"
#include "kernels/page_layout.h"

namespace terrace {

// Of KvType; the other types are float, __half and __nv_bfloat16.
struct Q8 {};
struct Q4 {};
struct F8 {};

inline constexpr uint32_t kNoFrame = 0xffffffffu;  // StepArrays::kNoFrame

template <typename Element>
constexpr bool kIsCode = std::is_same_v<Element, Q8> || std::is_same_v<Element, Q4> || std::is_same_v<Element, F8>;
/// Whether rows of K, or of V, are turned by the Hadamard matrix.
template <typename Element, bool kIsValue>
constexpr bool kIsTurned = kIsValue ? std::is_same_v<Element, Q4> : kIsCode<Element>;

/// Where the rows of K or V of a layer are in a page, and their scales. Bytes.
struct RowPlaces {
  int64_t offset, head_stride, row_bytes, scales, scale_bytes;

  __device__ __forceinline__ int64_t row(int head, int token) const { return offset + head * head_stride + token * row_bytes; }
  __device__ __forceinline__ int64_t scale(int head, int token, int page_tokens) const { return scales + (head * page_tokens + token) * scale_bytes; }
};

inline RowPlaces places_of(const PageLayout& layout, const PageRows& rows, int32_t layer) {
  const auto bytes = [](size_t size) { return static_cast<int64_t>(size); };
  return {bytes(layout.row_offset(rows, layer, 0, 0)), bytes(rows.head_stride), bytes(rows.row_bytes), bytes(layout.scale_offset(rows, layer, 0, 0)), bytes(rows.scale_bytes)};
}

__device__ __forceinline__ void store_element(float* to, float value) { *to = value; }
__device__ __forceinline__ void store_element(__half* to, float value) { *to = __float2half_rn(value); }
__device__ __forceinline__ void store_element(__nv_bfloat16* to, float value) { *to = __float2bfloat16_rn(value); }

/// The largest value becomes 127, ties go to the even integer, a row that is not finite has no finite scale.
__device__ __forceinline__ void store_codes(Q8, const float* from, int dims, std::byte* to, std::byte* scale) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  float largest = 0, poison = 0;
  for (int d = lane; d < dims; d += 32) {
    largest = fmaxf(fabsf(from[d]), largest);
    poison = fmaf(from[d], 0.0f, poison);
  }
  for (int mask = 16; mask > 0; mask /= 2) {
    largest = fmaxf(largest, __shfl_xor_sync(0xffffffffu, largest, mask));
    poison += __shfl_xor_sync(0xffffffffu, poison, mask);
  }
  if (lane == 0) *reinterpret_cast<float*>(scale) = largest / 127.0f + poison;
  const float inverse = largest > 1e-30f ? 127.0f / largest : 0.0f;
  for (int d = lane; d < dims; d += 32) {
    to[d] = static_cast<std::byte>(__float_as_uint(fmaf(from[d], inverse, 0x1.8p23f)));  // the integer is in the low bits
  }
}

__device__ __forceinline__ void store_codes(F8, const float* from, int dims, std::byte* to, std::byte*) {
  for (int d = static_cast<int>(threadIdx.x % 32); d < dims; d += 32) to[d] = static_cast<std::byte>(float_to_f8(from[d]));
}

struct Q4Levels {
  float level[16];
  float bound[16];  // bound[i]: where level i - 1 ends
};

constexpr Q4Levels make_q4_levels() {
  Q4Levels levels = {};
  for (int i = 0; i < 16; ++i) levels.level[i] = static_cast<float>(kQ4Levels[i]) / 128.0f;
  for (int i = 1; i < 16; ++i) levels.bound[i] = (levels.level[i - 1] + levels.level[i]) / 2;
  return levels;
}

/// 16 dims that have a scale, by eight lanes: lane i has dims i and i + 8. Sums are in the order of the CPU's lanes.
struct Q4Group {
  float x[2];
  int code[2] = {0, 0};

  /// NaN where a value is not finite.
  __device__ __forceinline__ float fit() {
    constexpr Q4Levels kLevels = make_q4_levels();
    const float above = largest(fmaxf(fmaxf(x[0], x[1]), 0.0f)), below = largest(fmaxf(fmaxf(-x[0], -x[1]), 0.0f));
    const float poison = sum(fmaf(x[1], 0.0f, fmaf(x[0], 0.0f, 0.0f)));
    const float extreme = below > above ? -below : above;
    const bool any = extreme > 1e-30f || extreme < -1e-30f;
    float best_gain = -1, best_scale = 0;
#pragma unroll 1
    for (int guess = 0; guess < 3; ++guess) {
      const float scale = extreme / kLevels.level[0] * (guess == 0 ? 1.0f : guess == 1 ? 0.92f : 1.08f);
      fit_codes(any ? 1.0f / scale : 0.0f, best_gain, best_scale);
    }
    return best_scale + poison;
  }

 private:
  /// The codes of the levels nearest to x * inverse, and the scale that suits them best, where these are the best yet.
  __device__ __forceinline__ void fit_codes(float inverse, float& best_gain, float& best_scale) {
    constexpr Q4Levels kLevels = make_q4_levels();
    float product = 0, square = 0;
    int nearest_code[2];
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const float scaled = x[i] * inverse;
      float nearest = kLevels.level[0];
      nearest_code[i] = 0;
#pragma unroll
      for (int c = 1; c < 16; ++c) {
        const bool reached = !(scaled < kLevels.bound[c]);
        nearest = reached ? kLevels.level[c] : nearest;
        nearest_code[i] = reached ? c : nearest_code[i];
      }
      product = fmaf(x[i], nearest, product);
      square = fmaf(nearest, nearest, square);
    }
    const float correlation = sum(product), energy = sum(square);
    const bool some = energy > 0;
    const float gain = some ? correlation * correlation / energy : 0.0f;
    if (!(gain > best_gain)) return;  // all eight lanes alike
    best_gain = gain;
    best_scale = some ? correlation / energy : 0.0f;
    code[0] = nearest_code[0];
    code[1] = nearest_code[1];
  }

  static __device__ __forceinline__ float sum(float value) {
    value += __shfl_xor_sync(0xffffffffu, value, 2);
    value += __shfl_xor_sync(0xffffffffu, value, 1);
    return value + __shfl_xor_sync(0xffffffffu, value, 4);
  }
  static __device__ __forceinline__ float largest(float value) {
    for (int mask = 4; mask > 0; mask /= 2) value = fmaxf(value, __shfl_xor_sync(0xffffffffu, value, mask));
    return value;
  }
};

/// A warp makes four groups at a time, two runs.
__device__ __forceinline__ void store_codes(Q4, const float* from, int dims, std::byte* to, std::byte* scales) {
  const int lane = static_cast<int>(threadIdx.x % 32), in_group = lane % 8;
  const int num_groups = q4_scales(dims);
  for (int first = 0; first < num_groups; first += 4) {
    const int group = first + lane / 8;
    const int d = 16 * group + in_group;
    Q4Group values = {{d < dims ? from[d] : 0.0f, d + 8 < dims ? from[d + 8] : 0.0f}};
    const float scale = values.fit();
    const int upper = __shfl_xor_sync(0xffffffffu, values.code[0] | values.code[1] << 8, 8);  // those of the run's other half
    if (group >= num_groups) continue;
    if (in_group == 0) reinterpret_cast<__half*>(scales)[group] = __float2half_rn(scale);
    if (group % 2 != 0) continue;
    std::byte* run = to + group / 2 * (kQ4Run / 2);
    run[in_group] = static_cast<std::byte>(values.code[0] | (upper & 15) << 4);
    run[in_group + 8] = static_cast<std::byte>(values.code[1] | (upper >> 8) << 4);
  }
}

/// Dim `d` of a row as it is stored, of all types but kQ4 and kF8. `scale`: a kQ8 row's.
__device__ __forceinline__ float load_element(KvType type, const std::byte* row, float scale, int d) {
  switch (type) {
    case KvType::kF16: return __half2float(reinterpret_cast<const __half*>(row)[d]);
    case KvType::kBF16: return __bfloat162float(reinterpret_cast<const __nv_bfloat16*>(row)[d]);
    case KvType::kQ8: return static_cast<float>(reinterpret_cast<const int8_t*>(row)[d]) * scale;
    default: return reinterpret_cast<const float*>(row)[d];
  }
}

}  // namespace terrace
