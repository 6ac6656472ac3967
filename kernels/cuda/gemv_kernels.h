// x * weight^T for up to 8 rows, bound by the bytes of the weights: the warps of a block share out a strip's columns. Not for invariant numerics:
// its order of summing is not gemm_kernels'. Launchers only; in stream order.
#pragma once

#include <cuda_runtime_api.h>

#include "kernels/cuda/device_weight.h"

namespace terrace {

constexpr int kGemvRows = 8;

void launch_gemv(const DeviceProduct& product, cudaStream_t stream);

}  // namespace terrace
