#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/ptx.cuh"
#include "tests/cudasim/self/self_kernels.h"

namespace self {

namespace ptx = terrace::ptx;
using terrace::launch;

__global__ void fill_kernel(float* x, int n, float value) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < n) x[i] = value;
}

__global__ void add_kernel(float* x, int n, float value) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < n) x[i] += value;
}

__global__ void copy_kernel(const float* x, float* y, int n) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < n) y[i] = x[i];
}

__global__ void last_block_kernel(int* out) {
  if (threadIdx.x == 0) atomicExch(out, static_cast<int>(blockIdx.x));
}

__global__ void collectives_kernel(const uint32_t* in, uint32_t* out) {
  const unsigned lane = threadIdx.x;
  const uint32_t v = in[lane];
  uint32_t* mine = out + lane;
  const unsigned all = 0xffffffffu;
  mine[0 * 32] = __shfl_sync(all, v, 5);
  mine[1 * 32] = __shfl_sync(all, v, 9, 8);
  mine[2 * 32] = __shfl_up_sync(all, v, 3);
  mine[3 * 32] = __shfl_down_sync(all, v, 3, 16);
  mine[4 * 32] = __shfl_xor_sync(all, v, 17);
  mine[5 * 32] = __ballot_sync(all, v & 1);
  mine[6 * 32] = static_cast<uint32_t>(__any_sync(all, v == 7));
  mine[7 * 32] = static_cast<uint32_t>(__all_sync(all, v < 1000000));
  mine[8 * 32] = __match_any_sync(all, v & 3);
  mine[9 * 32] = __reduce_add_sync(all, v);
  mine[10 * 32] = __reduce_min_sync(all, v);
  mine[11 * 32] = __reduce_max_sync(all, v);
  mine[12 * 32] = __reduce_and_sync(all, v | 0xf0);
  mine[13 * 32] = __reduce_or_sync(all, v);
  mine[14 * 32] = static_cast<uint32_t>(__reduce_min_sync(all, static_cast<int>(lane) - 20));
  if (lane < 16) mine[15 * 32] = __shfl_xor_sync(0x0000ffffu, v, 1);
  else mine[15 * 32] = __shfl_xor_sync(0xffff0000u, v, 2);
}

template <bool kBf16, bool kTransposed>
__global__ void multiply_kernel(const uint16_t* a, const uint16_t* b, float* c) {
  __shared__ __align__(16) uint16_t shared_a[16 * 16];
  __shared__ __align__(16) uint16_t shared_b[16 * 8];
  const int lane = static_cast<int>(threadIdx.x);
  for (int i = lane; i < 16 * 16; i += 32) shared_a[i] = a[i];
  for (int i = lane; i < 16 * 8; i += 32) shared_b[i] = b[i];
  __syncthreads();
  uint32_t fa[4], fb[4];
  ptx::ldmatrix_x4(fa, shared_a + (lane % 16) * 16 + lane / 16 * 8);
  if constexpr (kTransposed) ptx::ldmatrix_x4_transposed(fb, shared_b + (lane % 16) * 8);          // [16, 8]: 8 x 8 pieces one above the other
  else ptx::ldmatrix_x4(fb, shared_b + (lane % 8) * 16 + lane / 8 % 2 * 8);                        // [8, 16]: side by side
  float d[4] = {};
  if constexpr (kBf16) ptx::mma_bf16(d, fa, fb[0], fb[1]);
  else ptx::mma_f16(d, fa, fb[0], fb[1]);
  for (int i = 0; i < 4; ++i) c[(lane / 4 + i / 2 * 8) * 8 + lane % 4 * 2 + i % 2] = d[i];
}

__global__ void use_shared_kernel(float* out, int bytes) {
  TERRACE_DYNAMIC_SHARED(raw);
  auto* values = reinterpret_cast<float*>(raw);
  const int last = bytes / 4 - 1;
  if (threadIdx.x == 0) values[0] = 1.0f, values[last] = 2.0f;
  __syncthreads();
  if (threadIdx.x == 1) out[0] = values[0] + values[last];
}

__global__ void load_rows_kernel(uint32_t* out, int row_bytes) {
  TERRACE_DYNAMIC_SHARED(raw);
  auto* words = reinterpret_cast<uint32_t*>(raw);
  for (int i = static_cast<int>(threadIdx.x); i < 32 * row_bytes / 4; i += 32) words[i] = static_cast<uint32_t>(i);
  __syncthreads();
  uint32_t r[4];
  ptx::ldmatrix_x4(r, raw + static_cast<int>(threadIdx.x) * row_bytes);
  out[threadIdx.x] = r[0] + r[1] + r[2] + r[3];
}

terrace::LaunchShape shape(int n, cudaStream_t stream) { return {dim3(static_cast<unsigned>((n + 63) / 64)), dim3(64), 0, stream}; }

void fill(float* x, int n, float value, cudaStream_t stream) { launch("fill", shape(n, stream), fill_kernel, x, n, value); }
void add(float* x, int n, float value, cudaStream_t stream) { launch("add", shape(n, stream), add_kernel, x, n, value); }
void copy(const float* x, float* y, int n, cudaStream_t stream) { launch("copy", shape(n, stream), copy_kernel, x, y, n); }
void last_block(int* out, int blocks, cudaStream_t stream) { launch("last_block", {dim3(static_cast<unsigned>(blocks)), dim3(32), 0, stream}, last_block_kernel, out); }
void collectives(const uint32_t* in, uint32_t* out, cudaStream_t stream) { launch("collectives", {dim3(1), dim3(32), 0, stream}, collectives_kernel, in, out); }

void multiply(const uint16_t* a, const uint16_t* b, float* c, bool bf16, bool transposed, cudaStream_t stream) {
  const terrace::LaunchShape one_warp{dim3(1), dim3(32), 0, stream};
  if (bf16) launch("multiply", one_warp, transposed ? multiply_kernel<true, true> : multiply_kernel<true, false>, a, b, c);
  else launch("multiply", one_warp, transposed ? multiply_kernel<false, true> : multiply_kernel<false, false>, a, b, c);
}

void use_shared(float* out, int bytes, bool allow, cudaStream_t stream) {
  if (allow) terrace::allow_shared_bytes("use_shared", use_shared_kernel, bytes);
  launch("use_shared", {dim3(1), dim3(32), static_cast<size_t>(bytes), stream}, use_shared_kernel, out, bytes);
}

void load_rows(uint32_t* out, int row_bytes, cudaStream_t stream) {
  launch("load_rows", {dim3(1), dim3(32), static_cast<size_t>(32 * row_bytes), stream}, load_rows_kernel, out, row_bytes);
}

}  // namespace self
