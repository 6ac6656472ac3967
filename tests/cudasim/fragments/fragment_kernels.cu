#include "tests/cudasim/fragments/fragment_kernels.h"

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/ptx.cuh"

namespace fragments {

__global__ void ldmatrix_kernel(uint32_t* out, const uint16_t* in, bool transposed) {
  __shared__ __align__(16) uint16_t rows[256];
  for (unsigned k = 0; k < 8; ++k) rows[8 * threadIdx.x + k] = in[8 * threadIdx.x + k];
  __syncwarp();
  uint32_t r[4];
  if (transposed) {
    terrace::ptx::ldmatrix_x4_transposed(r, &rows[8 * threadIdx.x]);
  } else {
    terrace::ptx::ldmatrix_x4(r, &rows[8 * threadIdx.x]);
  }
  for (unsigned i = 0; i < 4; ++i) out[4 * threadIdx.x + i] = r[i];
}

__global__ void mma_kernel(float* d, const uint32_t* a, const uint32_t* b, bool bf16) {
  uint32_t a_own[4];
  float d_own[4] = {0, 0, 0, 0};
  for (unsigned i = 0; i < 4; ++i) a_own[i] = a[4 * threadIdx.x + i];
  if (bf16) {
    terrace::ptx::mma_bf16(d_own, a_own, b[2 * threadIdx.x], b[2 * threadIdx.x + 1]);
  } else {
    terrace::ptx::mma_f16(d_own, a_own, b[2 * threadIdx.x], b[2 * threadIdx.x + 1]);
  }
  for (unsigned i = 0; i < 4; ++i) d[4 * threadIdx.x + i] = d_own[i];
}

void launch_ldmatrix(uint32_t* out, const uint16_t* in, bool transposed, cudaStream_t stream) {
  terrace::launch("ldmatrix", {{1}, {32}, 0, stream}, ldmatrix_kernel, out, in, transposed);
}

void launch_mma(float* d, const uint32_t* a, const uint32_t* b, bool bf16, cudaStream_t stream) {
  terrace::launch("mma", {{1}, {32}, 0, stream}, mma_kernel, d, a, b, bf16);
}

}  // namespace fragments
