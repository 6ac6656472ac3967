// Kernels for the tests of the simulator itself. Host code; each function queues one launch.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

namespace self {

/// x[i] = value for i < n.
void fill(float* x, int n, float value, cudaStream_t stream);
/// x[i] += value.
void add(float* x, int n, float value, cudaStream_t stream);
/// y[i] = x[i].
void copy(const float* x, float* y, int n, cudaStream_t stream);
/// out[0] = the number of the block that came last.
void last_block(int* out, int blocks, cudaStream_t stream);

inline constexpr int kNumCollectives = 16;
/// One warp; out[kind * 32 + lane], kinds in the order of collectives.cpp's table in warp_test.cpp.
void collectives(const uint32_t* in, uint32_t* out, cudaStream_t stream);
/// c[16, 8] = a[16, 16] b[8, 16]^T by ldmatrix and mma; f16 or bf16 bits. `transposed`: b is given as [16, 8].
void multiply(const uint16_t* a, const uint16_t* b, float* c, bool bf16, bool transposed, cudaStream_t stream);
/// Touches the first and last float of so many bytes of dynamic shared memory; `allow`: asks for them first.
void use_shared(float* out, int bytes, bool allow, cudaStream_t stream);
/// Lane i takes row i * row_bytes of shared memory by ldmatrix: for counting bank conflicts.
void load_rows(uint32_t* out, int row_bytes, cudaStream_t stream);

}  // namespace self
