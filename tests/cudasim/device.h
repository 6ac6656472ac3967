// What a .cu file sees when it is compiled as plain C++ for the simulator (force-included): CUDA's keywords, built-in variables and intrinsics. Nothing else includes it.
// NVIDIA's own cuda_fp16.h and cuda_bf16.h compute on the host. Call sites come from __builtin_LINE(), since a host compiler may duplicate a call.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime_api.h>
#include <vector_functions.h>
#include <vector_types.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

namespace cudasim {

/// How to call a kernel from untyped argument pointers, and the sizes and alignments of its parameters.
struct KernelDescription {
  size_t num_params = 0;
  const size_t* sizes = nullptr;
  const size_t* alignments = nullptr;
  void (*call)(const void* function, void** args) = nullptr;
};
void describe_kernel(const void* function, const KernelDescription& description);

enum class MmaType { kF16, kBf16 };
unsigned char* dynamic_shared();
void cp_async(void* shared, const void* global, int bytes, int valid_bytes);
void cp_async_commit();
void cp_async_wait(int pending);
void ldmatrix_x4(uint32_t (&r)[4], const void* row, bool transposed, const char* file = __builtin_FILE(), int line = __builtin_LINE());
void mma_16816(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1, MmaType type, const char* file = __builtin_FILE(), int line = __builtin_LINE());
float exp2_approx(float x);

}  // namespace cudasim
