// The turn of a head by the Hadamard matrix (rotated_dims), in the order of the CPU's sums; its own inverse.
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/kv_format.h"

namespace terrace {

struct HadamardTurn {
  int32_t head_dim = 0;
  int32_t dims = 1;  // turned at a time
  float factor = 1;
};

inline HadamardTurn hadamard_turn(int32_t head_dim) {
  const int32_t dims = rotated_dims(head_dim);
  return {head_dim, dims, 1.0f / std::sqrt(static_cast<float>(dims))};
}

/// A head in shared memory, by a warp.
__device__ __forceinline__ void turn_head(const HadamardTurn& turn, float* x) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  __syncwarp();
  for (int half = 1; half < turn.dims; half *= 2) {
    for (int pair = lane; pair < turn.head_dim / 2; pair += 32) {
      float* left = x + pair / half * 2 * half + pair % half;
      const float a = left[0], b = left[half];
      left[0] = a + b;
      left[half] = a - b;
    }
    __syncwarp();
  }
  for (int d = lane; d < turn.head_dim; d += 32) x[d] *= turn.factor;
  __syncwarp();
}

}  // namespace terrace
