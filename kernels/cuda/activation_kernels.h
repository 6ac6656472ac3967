// Activations for the matrix products: float rows as f16 with power-of-two scales, and the sum of each group of 32 columns.
// Launchers only; in stream order.
#pragma once

#include <cuda_runtime_api.h>

#include "kernels/cuda/device_weight.h"

namespace terrace {

struct ConvertRows {
  const float* x = nullptr;  // [num_rows, cols]
  int64_t stride = 0;        // floats
  int num_rows = 0;
  int padded_rows = 0;       // zeros are written for rows from num_rows on
  int cols = 0;
  int num_stages = 0;
  bool aligned = false;      // x and its rows to 16 bytes, and cols is a multiple of 32
  uint16_t* values = nullptr;  // as in DeviceRows
  float* sums = nullptr;
  float* scale = nullptr;
  const float* largest = nullptr;  // [num_rows] magnitudes, from launch_largest_of_rows: one scale for all rows; none: a scale for each row
};

void launch_convert_rows(const ConvertRows& args, cudaStream_t stream);
/// largest[i] = the largest finite magnitude of row i.
void launch_largest_of_rows(const ConvertRows& args, float* largest, cudaStream_t stream);

}  // namespace terrace
