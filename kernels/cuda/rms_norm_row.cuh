// The norm of one row by one block, in one order of sums: shared by the row kernel and by the sum between ranks that a norm follows.
#pragma once

#include "kernels/cuda/block_reduce.cuh"
#include "kernels/cuda/vector_access.cuh"

namespace terrace {

inline constexpr int kRowThreads = 256;
inline constexpr int kRowWarps = kRowThreads / 32;
inline constexpr int kThreadFloats = 4;
inline constexpr int kTileFloats = kRowThreads * kThreadFloats;  // columns that a block handles at a time

struct NormRow {
  float* x;             // [cols]
  const float* weight;  // [cols]
  float* out;           // [cols]
  int cols;
  float eps;
  bool aligned;  // all three
};

/// x += delta, of the four columns from `i` on; gives what they are now.
__device__ __forceinline__ float4 add_to_row(const NormRow& row, int i, float4 delta) {
  float4 v = load4(row.x, i, row.cols, row.aligned);
  v = make_float4(v.x + delta.x, v.y + delta.y, v.z + delta.z, v.w + delta.w);
  store4(row.x, i, row.cols, row.aligned, v);
  return v;
}

/// out = x / sqrt(mean(x^2) + eps) * weight, by all of kRowThreads. `columns(i)` gives x's four columns from `i` on, and has stored them if they were other ones: a thread reads back only what it
/// wrote itself, so the second pass needs no barrier of its own. `partial` may be used again after the next barrier.
template <typename Columns>
__device__ __forceinline__ void rms_norm_row(const NormRow& row, float (&partial)[kRowWarps], Columns columns) {
  const int begin = static_cast<int>(threadIdx.x) * kThreadFloats;
  float4 squares = make_float4(0, 0, 0, 0);
  for (int i = begin; i < row.cols; i += kTileFloats) {
    const float4 v = columns(i);
    squares = make_float4(fmaf(v.x, v.x, squares.x), fmaf(v.y, v.y, squares.y), fmaf(v.z, v.z, squares.z), fmaf(v.w, v.w, squares.w));
  }
  const float sum = block_reduce((squares.x + squares.y) + (squares.z + squares.w), partial, Sum{});
  const float factor = 1.0f / sqrtf(sum / static_cast<float>(row.cols) + row.eps);
  for (int i = begin; i < row.cols; i += kTileFloats) {
    const float4 v = load4(row.x, i, row.cols, row.aligned);
    const float4 w = load4(row.weight, i, row.cols, row.aligned);
    store4(row.out, i, row.cols, row.aligned, make_float4(v.x * factor * w.x, v.y * factor * w.y, v.z * factor * w.z, v.w * factor * w.w));
  }
}

}  // namespace terrace
