// Device memory: blocks that touch one word, what nobody wrote, addresses that are no allocation's, alignment, local arrays, launch bounds.
#include <cstdlib>

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/ptx.cuh"
#include "tests/cudasim/bugs/bug_kernels.h"

namespace bugs {

__global__ void blocks_count(float* out) {
  if (threadIdx.x == 0) out[0] = out[0] + 1;
}

__global__ void blocks_count_atomically(float* out) {
  if (threadIdx.x == 0) atomicAdd(out, 1.0f);
}

__global__ void count_and_look(float* out) {
  if (threadIdx.x == 0) atomicAdd(out, 1.0f);
  if (threadIdx.x == 1 && blockIdx.x == 1) out[1] = out[0];
}

__global__ void copy(float* out, const float* in) { out[threadIdx.x] = in[threadIdx.x]; }

__global__ void store_pairs(float* out, int shift) { *reinterpret_cast<float2*>(out + shift + 2 * threadIdx.x) = make_float2(1, 2); }

__global__ void pick_from_local(float* out, int index) {
  float a[4] = {1, 2, 3, 4};
  for (int i = 0; i < 4; ++i) a[(i + index) & 3] += out[i];
  out[threadIdx.x + 8] = a[index];
}

__global__ void __launch_bounds__(32) bounded(float* out) { out[threadIdx.x] = 1; }

std::vector<Case> device_memory_cases() {
  static const auto on = [](cudaStream_t stream, unsigned blocks = 1, unsigned threads = 32) { return terrace::LaunchShape{{blocks}, {threads}, 0, stream}; };
  return {
      {"BlocksCount", {"race"}, [](const Memory& m, cudaStream_t s) { terrace::launch("bug", on(s, 4), blocks_count, m.zeros); }},
      {"BlocksCountAtomically", {}, [](const Memory& m, cudaStream_t s) { terrace::launch("twin", on(s, 4), blocks_count_atomically, m.zeros); }},
      {"CountAndLook", {"race"}, [](const Memory& m, cudaStream_t s) { terrace::launch("bug", on(s, 4), count_and_look, m.zeros); }},
      {"Copy", {}, [](const Memory& m, cudaStream_t s) { terrace::launch("twin", on(s), copy, m.fresh, m.zeros); }},
      {"ReadUninitialisedDevice", {"uninitialised read"}, [](const Memory& m, cudaStream_t s) { terrace::launch("bug", on(s), copy, m.zeros, m.fresh); }},
      {"Misaligned", {"misaligned"}, [](const Memory& m, cudaStream_t s) { terrace::launch("bug", on(s), store_pairs, m.zeros, 1); }},
      {"Aligned", {}, [](const Memory& m, cudaStream_t s) { terrace::launch("twin", on(s), store_pairs, m.zeros, 2); }},
      {"PastTheEnd", {"past the end"}, [](const Memory& m, cudaStream_t s) { terrace::launch("bug", on(s), copy, m.zeros + 4096 - 31, m.zeros); }},
      {"UseAfterFree", {"use after free"},
       [](const Memory& m, cudaStream_t s) {
         void* freed = nullptr;
         terrace::check_cuda(cudaMalloc(&freed, 4096), "bug");
         terrace::check_cuda(cudaFree(freed), "bug");
         terrace::launch("bug", on(s), copy, static_cast<float*>(freed), m.zeros);
       }},
      {"HostMemory", {"ordinary host memory"},
       [](const Memory& m, cudaStream_t s) {
         static float host[32];
         terrace::launch("bug", on(s), copy, host, m.zeros);
       }},
      {"LocalPastTheEnd", {"local memory out of bounds"}, [](const Memory& m, cudaStream_t s) { terrace::launch("bug", on(s), pick_from_local, m.zeros, 4); }, Path::kPtxOnly},
      {"LocalToTheEnd", {}, [](const Memory& m, cudaStream_t s) { terrace::launch("twin", on(s), pick_from_local, m.zeros, 3); }},
      {"LaunchBounds", {"__launch_bounds__"}, [](const Memory& m, cudaStream_t s) { terrace::launch("bug", on(s, 1, 64), bounded, m.zeros); }, Path::kPtxOnly},
  };
}

}  // namespace bugs
