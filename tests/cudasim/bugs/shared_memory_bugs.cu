// Shared memory: barriers that are missing or not met by all, what nobody wrote, what lies outside.
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/ptx.cuh"
#include "tests/cudasim/bugs/bug_kernels.h"

namespace bugs {

__global__ void reverse(float* out) {
  __shared__ float s[64];
  s[threadIdx.x] = static_cast<float>(threadIdx.x);
  __syncthreads();
  out[threadIdx.x] = s[63 - threadIdx.x];
}

__global__ void reverse_without_barrier(float* out) {
  __shared__ float s[64];
  s[threadIdx.x] = static_cast<float>(threadIdx.x);
  out[threadIdx.x] = s[63 - threadIdx.x];
}

__global__ void write_after_read(float* out) {
  __shared__ float s[64];
  s[threadIdx.x] = 1;
  __syncthreads();
  const float v = s[63 - threadIdx.x];
  s[threadIdx.x] = v + 1;  // another thread may still have to read it
  __syncthreads();
  out[threadIdx.x] = v + s[threadIdx.x];
}

__global__ void write_after_read_and_barrier(float* out) {
  __shared__ float s[64];
  s[threadIdx.x] = 1;
  __syncthreads();
  const float v = s[63 - threadIdx.x];
  __syncthreads();
  s[threadIdx.x] = v + 1;
  __syncthreads();
  out[threadIdx.x] = v + s[threadIdx.x];
}

/// Three readers of one word, then a write by one of them.
__global__ void broadcast_then_write(float* out) {
  __shared__ float s[1];
  if (threadIdx.x == 0) s[0] = 1;
  __syncthreads();
  const float v = s[0];
  if (threadIdx.x == 40) s[0] = 2;
  out[threadIdx.x] = v;
}

__global__ void read_uninitialised(float* out) {
  __shared__ float s[64];
  if (threadIdx.x != 0) s[threadIdx.x] = 1;
  __syncthreads();
  out[threadIdx.x] = s[threadIdx.x];
}

__global__ void barriers_of_two_lines(float* out) {
  __shared__ float s[64];
  s[threadIdx.x] = 1;
  if (threadIdx.x < 32) {
    out[threadIdx.x] = 2;
    __syncthreads();
  } else {
    __syncthreads();
    out[64] = 3;
  }
  out[threadIdx.x + 65] = s[63 - threadIdx.x];
}

__global__ void dynamic_overrun(float* out, int shift) {
  TERRACE_DYNAMIC_SHARED(raw);
  float* s = reinterpret_cast<float*>(raw);
  s[threadIdx.x + static_cast<unsigned>(shift)] = 1;
  __syncthreads();
  out[threadIdx.x] = s[threadIdx.x + static_cast<unsigned>(shift)];
}

__global__ void static_overrun(float* out, int shift) {
  __shared__ float s[64];
  s[threadIdx.x + static_cast<unsigned>(shift)] = 1;
  __syncthreads();
  out[threadIdx.x] = s[threadIdx.x];
}

/// Halves of one word written by two threads are no race.
__global__ void neighbouring_halves(float* out) {
  __shared__ unsigned short s[64];
  s[threadIdx.x] = static_cast<unsigned short>(threadIdx.x);
  __syncthreads();
  out[threadIdx.x] = s[63 - threadIdx.x];
}

std::vector<Case> shared_memory_cases() {
  static const terrace::LaunchShape kShape{{1}, {64}, 0, nullptr};
  static const auto on = [](cudaStream_t stream, size_t shared_bytes = 0) {
    terrace::LaunchShape shape = kShape;
    shape.stream = stream, shape.shared_bytes = shared_bytes;
    return shape;
  };
  return {
      {"Reverse", {}, [](const Memory& m, cudaStream_t s) { terrace::launch("reverse", on(s), reverse, m.zeros); }},
      {"ReverseWithoutBarrier", {"race", "uninitialised"}, [](const Memory& m, cudaStream_t s) { terrace::launch("bug", on(s), reverse_without_barrier, m.zeros); }},
      {"WriteAfterRead", {"race"}, [](const Memory& m, cudaStream_t s) { terrace::launch("bug", on(s), write_after_read, m.zeros); }},
      {"WriteAfterReadAndBarrier", {}, [](const Memory& m, cudaStream_t s) { terrace::launch("twin", on(s), write_after_read_and_barrier, m.zeros); }},
      {"BroadcastThenWrite", {"race"}, [](const Memory& m, cudaStream_t s) { terrace::launch("bug", on(s), broadcast_then_write, m.zeros); }},
      {"ReadUninitialisedShared", {"uninitialised read"}, [](const Memory& m, cudaStream_t s) { terrace::launch("bug", on(s), read_uninitialised, m.zeros); }},
      {"BarriersOfTwoLines", {"barrier divergence", "deadlock"}, [](const Memory& m, cudaStream_t s) { terrace::launch("bug", on(s), barriers_of_two_lines, m.zeros); }},
      {"DynamicOverrun", {"outside the shared memory"}, [](const Memory& m, cudaStream_t s) { terrace::launch("bug", on(s, 256), dynamic_overrun, m.zeros, 1); }},
      {"DynamicToTheEnd", {}, [](const Memory& m, cudaStream_t s) { terrace::launch("twin", on(s, 256), dynamic_overrun, m.zeros, 0); }},
      {"StaticOverrun", {"outside the shared memory"}, [](const Memory& m, cudaStream_t s) { terrace::launch("bug", on(s), static_overrun, m.zeros, 1); }, Path::kPtxOnly},
      {"NeighbouringHalves", {}, [](const Memory& m, cudaStream_t s) { terrace::launch("twin", on(s), neighbouring_halves, m.zeros); }},
  };
}

}  // namespace bugs
