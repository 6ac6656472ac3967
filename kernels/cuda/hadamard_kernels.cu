#include "kernels/cuda/hadamard_kernels.h"

#include "kernels/cuda/hadamard.cuh"
#include "kernels/cuda/launch.cuh"

namespace terrace {

constexpr int kTurnWarps = 4;

/// A warp takes one head of one row.
__global__ void __launch_bounds__(32 * kTurnWarps) turn_heads_kernel(MatrixView x, HadamardTurn turn) {
  __shared__ float buffers[kTurnWarps][kMostTurnedDims];
  const int lane = static_cast<int>(threadIdx.x % 32);
  float* buffer = buffers[threadIdx.x / 32];
  const int64_t heads = x.cols / turn.head_dim;
  const int64_t index = static_cast<int64_t>(blockIdx.x) * kTurnWarps + threadIdx.x / 32;
  if (index >= x.rows * heads) return;
  float* head = x.data + index / heads * x.stride + index % heads * turn.head_dim;
  for (int d = lane; d < turn.head_dim; d += 32) buffer[d] = head[d];
  turn_head(turn, buffer);
  for (int d = lane; d < turn.head_dim; d += 32) head[d] = buffer[d];
}

void launch_turn_heads(MatrixView x, int32_t head_dim, cudaStream_t stream) {
  const int64_t heads = x.rows * (x.cols / head_dim);
  if (heads == 0) return;
  const auto blocks = static_cast<unsigned>((heads + kTurnWarps - 1) / kTurnWarps);
  launch("turning heads back", {dim3(blocks), dim3(32 * kTurnWarps), 0, stream}, turn_heads_kernel, x, hadamard_turn(head_dim));
}

}  // namespace terrace
