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

#include "tests/cudasim/kernel_api.h"

namespace cudasim {

enum class MmaType { kF16, kBf16 };
void ldmatrix_x4(uint32_t (&r)[4], const void* row, bool transposed, const char* file = __builtin_FILE(), int line = __builtin_LINE());
void mma_16816(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1, MmaType type, const char* file = __builtin_FILE(), int line = __builtin_LINE());
float exp2_approx(float x);
float log2_approx(float x);  // lg2.approx.ftz

}  // namespace cudasim
