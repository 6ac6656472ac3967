#include "kernels/cuda/embedding_kernels.h"

#ifndef TERRACE_CUDASIM
#include <cuda_fp16.h>
#endif

#include "kernels/cuda/dequantize.cuh"
#include "kernels/cuda/launch.cuh"

namespace terrace {

constexpr int kEmbedThreads = 256;

template <DType kType>
__global__ void __launch_bounds__(kEmbedThreads) embed_kernel(DeviceTable table, const int32_t* const* tokens, float scale, MatrixView out) {
  const int64_t col = static_cast<int64_t>(blockIdx.y) * kEmbedThreads + threadIdx.x;
  if (col >= out.cols) return;
  const int64_t token = (*tokens)[blockIdx.x];
  out.data[blockIdx.x * out.stride + col] = dequantize<kType>(table.data + token * table.row_bytes, table.first_col + col) * scale;
}

template <DType kType>
static void launch_as(const DeviceTable& table, const int32_t* const* tokens, float scale, MatrixView out, cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>(out.rows), static_cast<unsigned>((out.cols + kEmbedThreads - 1) / kEmbedThreads));
  launch("embed", {grid, dim3(kEmbedThreads), 0, stream}, embed_kernel<kType>, table, tokens, scale, out);
}

void launch_embed(const DeviceTable& table, const int32_t* const* tokens, float scale, MatrixView out, cudaStream_t stream) {
  if (out.rows == 0 || out.cols == 0) return;
  switch (table.dtype) {
    case DType::kF32: return launch_as<DType::kF32>(table, tokens, scale, out, stream);
    case DType::kF16: return launch_as<DType::kF16>(table, tokens, scale, out, stream);
    case DType::kBF16: return launch_as<DType::kBF16>(table, tokens, scale, out, stream);
    case DType::kQ4_0: return launch_as<DType::kQ4_0>(table, tokens, scale, out, stream);
    case DType::kQ4_1: return launch_as<DType::kQ4_1>(table, tokens, scale, out, stream);
    case DType::kQ5_0: return launch_as<DType::kQ5_0>(table, tokens, scale, out, stream);
    case DType::kQ5_1: return launch_as<DType::kQ5_1>(table, tokens, scale, out, stream);
    case DType::kQ8_0: return launch_as<DType::kQ8_0>(table, tokens, scale, out, stream);
    case DType::kQ4_K: return launch_as<DType::kQ4_K>(table, tokens, scale, out, stream);
    case DType::kQ5_K: return launch_as<DType::kQ5_K>(table, tokens, scale, out, stream);
    case DType::kQ6_K: return launch_as<DType::kQ6_K>(table, tokens, scale, out, stream);
  }
}

}  // namespace terrace
