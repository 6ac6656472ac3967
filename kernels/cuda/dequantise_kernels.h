// Packed codes as rows of f16, for a library's matrix product. Launchers only; in stream order.
#pragma once

#include <cuda_runtime_api.h>

#include "kernels/cuda/device_weight.h"

namespace terrace {

/// Outputs [first_output, first_output + num_outputs) of a quantised weight, divided by weight.scale, as [num_outputs, num_stages * 64] f16 in the
/// column order of DeviceRows. first_output is a multiple of 16.
void launch_dequantise(const DeviceWeight& weight, int first_output, int num_outputs, uint16_t* rows, cudaStream_t stream);

/// *product = *a * b, for a factor that only the device knows.
void launch_multiply_scalar(const float* a, float b, float* product, cudaStream_t stream);

}  // namespace terrace
