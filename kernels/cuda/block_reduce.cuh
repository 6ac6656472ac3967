// Reductions over a block in one fixed tree: lanes by halving distance, then warps in order. The same bits in every thread, and for
// any grid; only the number of threads, which is the kernel's own constant, shapes the tree.
#pragma once

namespace terrace {

struct Sum {
  __device__ float operator()(float a, float b) const { return a + b; }
};
/// Leaves out NaN.
struct Largest {
  __device__ float operator()(float a, float b) const { return fmaxf(a, b); }
};

/// All threads of the block call it; `partial` may be used again after the next barrier.
template <int kWarps, typename Join>
__device__ __forceinline__ float block_reduce(float value, float (&partial)[kWarps], Join join) {
  for (int distance = 16; distance > 0; distance /= 2) value = join(value, __shfl_xor_sync(0xffffffffu, value, distance));
  if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = value;
  __syncthreads();
  float total = partial[0];
  for (int warp = 1; warp < kWarps; ++warp) total = join(total, partial[warp]);
  return total;
}

}  // namespace terrace
