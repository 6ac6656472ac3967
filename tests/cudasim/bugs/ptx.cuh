// What the seeded bugs between devices do in place of kernels/cuda/ptx.cuh's acquire and release: accesses that all devices see, but that order nothing.
#pragma once

#include <cstdint>

namespace bugs::ptx {

__device__ __forceinline__ uint32_t load_relaxed_system(const uint32_t* global) {
#ifdef TERRACE_CUDASIM
  return static_cast<uint32_t>(::cudasim::load_system(global, sizeof *global, false, {__builtin_FILE(), __builtin_LINE()}));
#else
  uint32_t value;
  asm volatile("ld.relaxed.sys.global.u32 %0, [%1];" : "=r"(value) : "l"(global) : "memory");
  return value;
#endif
}

__device__ __forceinline__ void store_relaxed_system(uint32_t* global, uint32_t value) {
#ifdef TERRACE_CUDASIM
  ::cudasim::store_system(global, value, sizeof value, false);
#else
  asm volatile("st.relaxed.sys.global.u32 [%0], %1;" ::"l"(global), "r"(value) : "memory");
#endif
}

}  // namespace bugs::ptx
