// Warps: lockstep taken for granted, a shuffle taken for a fence, collectives that not all lanes reach.
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/ptx.cuh"
#include "tests/cudasim/bugs/bug_kernels.h"

namespace bugs {

__global__ void lockstep(float* out) {
  __shared__ float s[32];
  s[threadIdx.x] = static_cast<float>(threadIdx.x);
  out[threadIdx.x] = s[31 - threadIdx.x];
}

__global__ void warp_synchronised(float* out) {
  __shared__ float s[32];
  s[threadIdx.x] = static_cast<float>(threadIdx.x);
  __syncwarp();
  out[threadIdx.x] = s[31 - threadIdx.x];
}

__global__ void shuffle_as_fence(float* out) {
  __shared__ float s[32];
  s[threadIdx.x] = static_cast<float>(threadIdx.x);
  const int zero = __shfl_xor_sync(~0u, 0, 1);
  out[threadIdx.x] = s[31 - threadIdx.x] + static_cast<float>(zero);
}

__global__ void shuffle_in_a_branch(float* out) {
  float v = out[threadIdx.x];
  if (threadIdx.x % 32 < 16) v = __shfl_xor_sync(~0u, v, 1);
  out[threadIdx.x] = v;
}

__global__ void shuffle_of_half_a_warp(float* out) {
  float v = out[threadIdx.x];
  if (threadIdx.x % 32 < 16) v = __shfl_xor_sync(0xFFFFu, v, 1);
  out[threadIdx.x] = v;
}

std::vector<Case> warp_cases() {
  static const auto on = [](cudaStream_t stream) { return terrace::LaunchShape{{1}, {32}, 0, stream}; };
  return {
      {"Lockstep", {"race", "uninitialised"}, [](const Memory& m, cudaStream_t s) { terrace::launch("bug", on(s), lockstep, m.zeros); }},
      {"WarpSynchronised", {}, [](const Memory& m, cudaStream_t s) { terrace::launch("twin", on(s), warp_synchronised, m.zeros); }},
      {"ShuffleAsFence", {"race"}, [](const Memory& m, cudaStream_t s) { terrace::launch("bug", on(s), shuffle_as_fence, m.zeros); }},
      {"ShuffleInABranch", {"collective"}, [](const Memory& m, cudaStream_t s) { terrace::launch("bug", on(s), shuffle_in_a_branch, m.zeros); }},
      {"ShuffleOfHalfAWarp", {}, [](const Memory& m, cudaStream_t s) { terrace::launch("twin", on(s), shuffle_of_half_a_warp, m.zeros); }},
  };
}

}  // namespace bugs
