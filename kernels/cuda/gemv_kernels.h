// x * weight^T for up to 8 rows, bound by the bytes of the weights: the warps of a block share out a strip's columns. Not for invariant numerics:
// its order of summing is not gemm_kernels'. Launchers only; in stream order.
#pragma once

#include <cuda_runtime_api.h>

#include "kernels/cuda/device_weight.h"

namespace terrace {

constexpr int kGemvRows = 8;

/// Of the same rows. Neighbours of one format share a launch, so that a small weight's blocks run beside a large one's.
void launch_gemv(const DeviceProduct* products, int count, cudaStream_t stream);

}  // namespace terrace
