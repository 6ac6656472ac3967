// x * weight^T on tensor cores, in an order that depends on the columns alone: a row's bits are the same whatever the other rows, their
// number and the tile are (LAW 4). Launchers only; any thread, in stream order.
#pragma once

#include <cuda_runtime_api.h>

#include "kernels/cuda/device_weight.h"

namespace terrace {

/// Once per device, before the first launch.
void prepare_gemm();
void launch_gemm(const DeviceProduct& product, cudaStream_t stream);

}  // namespace terrace
