#include "kernels/cuda/row_kernels.h"

#include <algorithm>

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/rms_norm_row.cuh"

namespace terrace {

constexpr int kGatheredRows = 64;  // rows of one launch

struct NormArgs {
  MatrixView x, delta, out;  // no delta: data is null
  const float* weight;
  float eps;
  bool aligned;
};

struct RowIndices {
  int32_t rows[kGatheredRows];
};

/// One block per row.
__global__ void __launch_bounds__(kRowThreads) rms_norm_kernel(NormArgs args) {
  __shared__ float partial[kRowWarps];
  const int cols = static_cast<int>(args.x.cols);
  const float* delta = args.delta.data == nullptr ? nullptr : args.delta.data + blockIdx.x * args.delta.stride;
  const NormRow row = {args.x.data + blockIdx.x * args.x.stride, args.weight, args.out.data + blockIdx.x * args.out.stride, cols, args.eps, args.aligned};
  rms_norm_row(row, partial, [&](int i) { return delta == nullptr ? load4(row.x, i, cols, row.aligned) : add_to_row(row, i, load4(delta, i, cols, row.aligned)); });
}

__global__ void __launch_bounds__(kRowThreads) add_kernel(MatrixView x, MatrixView delta, bool aligned) {
  const int cols = static_cast<int>(x.cols);
  const int i = static_cast<int>(blockIdx.y * kTileFloats + threadIdx.x * kThreadFloats);
  if (i >= cols) return;
  float* row = x.data + blockIdx.x * x.stride;
  const float4 v = load4(row, i, cols, aligned);
  const float4 d = load4(delta.data + blockIdx.x * delta.stride, i, cols, aligned);
  store4(row, i, cols, aligned, make_float4(v.x + d.x, v.y + d.y, v.z + d.z, v.w + d.w));
}

/// expf and the division are the exact ones: the approximate ones err by more than the op may.
/// SiLU is x / (1 + e^-x); gelu_tanh the same with 2 sqrt(2 / pi) (x + 0.044715 x^3) for the x of e^-x (kernels/cpu/float_math.h).
__device__ __forceinline__ float activate(float x, bool gelu) {
  const float minus_exponent = gelu ? x * fmaf(x * x, -0.0713548162726f, -1.5957691216057f) : -x;
  return x / (1.0f + expf(minus_exponent));
}

__global__ void __launch_bounds__(kRowThreads) activate_gate_kernel(MatrixView gate, MatrixView up, bool gelu, bool aligned) {
  const int cols = static_cast<int>(gate.cols);
  const int i = static_cast<int>(blockIdx.y * kTileFloats + threadIdx.x * kThreadFloats);
  if (i >= cols) return;
  float* row = gate.data + blockIdx.x * gate.stride;
  const float4 g = load4(row, i, cols, aligned);
  const float4 u = load4(up.data + blockIdx.x * up.stride, i, cols, aligned);
  store4(row, i, cols, aligned, make_float4(activate(g.x, gelu) * u.x, activate(g.y, gelu) * u.y, activate(g.z, gelu) * u.z, activate(g.w, gelu) * u.w));
}

__global__ void __launch_bounds__(kRowThreads) gather_rows_kernel(MatrixView src, RowIndices indices, MatrixView dst, bool aligned) {
  const int cols = static_cast<int>(src.cols);
  const int i = static_cast<int>(blockIdx.y * kTileFloats + threadIdx.x * kThreadFloats);
  if (i >= cols) return;
  const float4 v = load4(src.data + indices.rows[blockIdx.x] * src.stride, i, cols, aligned);
  store4(dst.data + blockIdx.x * dst.stride, i, cols, aligned, v);
}

static LaunchShape tiles_of(int64_t rows, int64_t cols, cudaStream_t stream) {
  const auto tiles = static_cast<unsigned>((cols + kTileFloats - 1) / kTileFloats);
  return {dim3(static_cast<unsigned>(rows), tiles), dim3(kRowThreads), 0, stream};
}

void launch_rms_norm(MatrixView x, const float* weight, float eps, MatrixView out, cudaStream_t stream) {
  launch_add_rms_norm(x, {}, weight, eps, out, stream);
}

void launch_add_rms_norm(MatrixView x, MatrixView delta, const float* weight, float eps, MatrixView out, cudaStream_t stream) {
  if (x.rows == 0 || x.cols == 0) return;
  const bool aligned = rows_are_aligned(x) && rows_are_aligned(delta) && rows_are_aligned(out) && is_aligned(weight);
  launch("rms_norm", {dim3(static_cast<unsigned>(x.rows)), dim3(kRowThreads), 0, stream}, rms_norm_kernel, NormArgs{x, delta, out, weight, eps, aligned});
}

void launch_add(MatrixView x, MatrixView delta, cudaStream_t stream) {
  if (x.rows == 0 || x.cols == 0) return;
  launch("add", tiles_of(x.rows, x.cols, stream), add_kernel, x, delta, rows_are_aligned(x) && rows_are_aligned(delta));
}

void launch_activate_gate(MatrixView gate, MatrixView up, GateActivation activation, cudaStream_t stream) {
  if (gate.rows == 0 || gate.cols == 0) return;
  const bool aligned = rows_are_aligned(gate) && rows_are_aligned(up);
  launch("activate_gate", tiles_of(gate.rows, gate.cols, stream), activate_gate_kernel, gate, up, activation == GateActivation::kGeluTanh, aligned);
}

void launch_gather_rows(MatrixView src, std::span<const int32_t> rows, MatrixView dst, cudaStream_t stream) {
  if (src.cols == 0) return;
  const bool aligned = rows_are_aligned(src) && rows_are_aligned(dst);
  for (size_t first = 0; first < rows.size(); first += kGatheredRows) {
    const std::span<const int32_t> some = rows.subspan(first, std::min<size_t>(kGatheredRows, rows.size() - first));
    RowIndices indices = {};
    std::copy(some.begin(), some.end(), indices.rows);
    MatrixView to = dst;
    to.data += static_cast<int64_t>(first) * dst.stride;
    launch("gather_rows", tiles_of(static_cast<int64_t>(some.size()), src.cols, stream), gather_rows_kernel, src, indices, to, aligned);
  }
}

}  // namespace terrace
