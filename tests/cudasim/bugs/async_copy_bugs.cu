// cp.async: a wait too few, a barrier too few, a stage that is overwritten while others still read it.
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/ptx.cuh"
#include "tests/cudasim/bugs/bug_kernels.h"

namespace bugs {

enum AsyncBug : int { kNone, kNoWait, kNoBarrier };

template <int kBug>
__global__ void stage(float* out, const float* in) {
  __shared__ __align__(16) float s[128];
  terrace::ptx::cp_async_16(&s[4 * threadIdx.x], &in[4 * threadIdx.x]);
  terrace::ptx::cp_async_commit();
  if (kBug != kNoWait) terrace::ptx::cp_async_wait<0>();
  if (kBug != kNoBarrier) __syncthreads();
  out[threadIdx.x] = s[127 - threadIdx.x];
}

/// Two stages in turn; kPending 1 leaves the copy under way that is read next, kBarrier false lets a fast thread overwrite what a slow one reads.
template <int kPending, bool kBarrier>
__global__ void ring(float* out, const float* in) {
  __shared__ __align__(16) float s[2][128];
  float sum = 0;
  terrace::ptx::cp_async_16(&s[0][4 * threadIdx.x], &in[4 * threadIdx.x]);
  terrace::ptx::cp_async_commit();
  for (int k = 0; k < 4; ++k) {
    terrace::ptx::cp_async_wait<kPending>();
    __syncthreads();
    sum += s[k & 1][127 - threadIdx.x];
    if (kBarrier) __syncthreads();
    terrace::ptx::cp_async_16(&s[kBarrier ? (k + 1) & 1 : k & 1][4 * threadIdx.x], &in[4 * threadIdx.x]);
    terrace::ptx::cp_async_16(&s[(k + 1) & 1][4 * threadIdx.x], &in[4 * threadIdx.x]);
    terrace::ptx::cp_async_commit();
  }
  terrace::ptx::cp_async_wait<0>();
  out[threadIdx.x] = sum;
}

std::vector<Case> async_copy_cases() {
  static const auto on = [](cudaStream_t stream) { return terrace::LaunchShape{{1}, {32}, 0, stream}; };
  return {
      {"Stage", {}, [](const Memory& m, cudaStream_t s) { terrace::launch("twin", on(s), stage<kNone>, m.fresh, m.zeros); }},
      {"StageNotWaitedFor", {"async copy not waited for"}, [](const Memory& m, cudaStream_t s) { terrace::launch("bug", on(s), stage<kNoWait>, m.fresh, m.zeros); }},
      {"StageWithoutBarrier", {"race", "async copy not waited for", "uninitialised"}, [](const Memory& m, cudaStream_t s) { terrace::launch("bug", on(s), stage<kNoBarrier>, m.fresh, m.zeros); }},
      {"Ring", {}, [](const Memory& m, cudaStream_t s) { terrace::launch("twin", on(s), ring<0, true>, m.fresh, m.zeros); }},
      {"RingOneGroupTooFew", {"async copy not waited for"}, [](const Memory& m, cudaStream_t s) { terrace::launch("bug", on(s), ring<1, true>, m.fresh, m.zeros); }},
      {"RingWithoutBarrier", {"race"}, [](const Memory& m, cudaStream_t s) { terrace::launch("bug", on(s), ring<0, false>, m.fresh, m.zeros); }},
  };
}

}  // namespace bugs
