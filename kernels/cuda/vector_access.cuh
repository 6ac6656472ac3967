// Rows of floats, four at a time: 128-bit accesses where rows are aligned for them, else the same elements one by one, so that a
// thread sees the same elements, and sums come out with the same bits, either way.
#pragma once

#include <cstdint>

#include "kernels/base/tensor.h"

namespace terrace {

/// Whether every row of a matrix starts at a multiple of 16 bytes.
inline bool rows_are_aligned(const MatrixView& matrix) { return reinterpret_cast<uintptr_t>(matrix.data) % 16 == 0 && matrix.stride % 4 == 0; }
inline bool is_aligned(const void* data) { return reinterpret_cast<uintptr_t>(data) % 16 == 0; }

/// Elements [first, first + 4) of a row of `count`; `fill` beyond its end. `first` is a multiple of 4.
__device__ __forceinline__ float4 load4(const float* row, int first, int count, bool aligned, float fill = 0.0f) {
  if (aligned && first + 4 <= count) return *reinterpret_cast<const float4*>(row + first);
  float4 value = make_float4(fill, fill, fill, fill);
  if (first < count) value.x = row[first];
  if (first + 1 < count) value.y = row[first + 1];
  if (first + 2 < count) value.z = row[first + 2];
  if (first + 3 < count) value.w = row[first + 3];
  return value;
}

/// Those of the four that lie in the row.
__device__ __forceinline__ void store4(float* row, int first, int count, bool aligned, float4 value) {
  if (aligned && first + 4 <= count) {
    *reinterpret_cast<float4*>(row + first) = value;
    return;
  }
  if (first < count) row[first] = value.x;
  if (first + 1 < count) row[first + 1] = value.y;
  if (first + 2 < count) row[first + 2] = value.z;
  if (first + 3 < count) row[first + 3] = value.w;
}

}  // namespace terrace
