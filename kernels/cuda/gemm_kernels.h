// x * weight^T on tensor cores, in an order that depends on the columns alone: a row's bits are the same whatever the other rows, their
// number and the tile are (LAW 4). Launchers only; any thread, in stream order.
#pragma once

#include <cuda_runtime_api.h>

#include "kernels/cuda/device_weight.h"

namespace terrace {

/// Pieces of the columns that give all multiprocessors work; 1 where the tiles do. Not for invariant numerics: the answer depends on the rows.
int useful_splits(const DeviceWeight& weight, int num_rows, int num_multiprocessors);
/// Once per device, before the first launch.
void prepare_gemm();
/// With product.num_splits > 1 the order depends on that number too.
void launch_gemm(const DeviceProduct& product, cudaStream_t stream);

}  // namespace terrace
