// Ops that work row by row: norm, sum, gate, gathering of rows. A row's bits depend on its own values and length alone.
// Launched from the backend's step thread.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <span>

#include "kernels/backend.h"

namespace terrace {

void launch_rms_norm(MatrixView x, const float* weight, float eps, MatrixView out, cudaStream_t stream);
/// x += delta, out = rms_norm(x), in one pass over memory.
void launch_add_rms_norm(MatrixView x, MatrixView delta, const float* weight, float eps, MatrixView out, cudaStream_t stream);
/// x += delta.
void launch_add(MatrixView x, MatrixView delta, cudaStream_t stream);
/// gate = activation(gate) * up.
void launch_activate_gate(MatrixView gate, MatrixView up, GateActivation activation, cudaStream_t stream);
/// dst[i] = src[rows[i]]; `rows` is in host memory and travels with the launch.
void launch_gather_rows(MatrixView src, std::span<const int32_t> rows, MatrixView dst, cudaStream_t stream);

}  // namespace terrace
