// Kernels that show what the fragment instructions of kernels/cuda/ptx.cuh do with each lane's registers.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

namespace fragments {

/// One warp: reads 256 16-bit elements, four 8x8 matrices row after row; out[4 lane + i] is what lane gets of matrix i.
void launch_ldmatrix(uint32_t* out, const uint16_t* in, bool transposed, cudaStream_t stream);

/// One warp: d[4 lane + i] = its part of a * b, from a[4 lane + i] and b[2 lane + i].
void launch_mma(float* d, const uint32_t* a, const uint32_t* b, bool bf16, cudaStream_t stream);

}  // namespace fragments
