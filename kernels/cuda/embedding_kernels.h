// Rows of a table of any GGUF dtype, dequantised when they are looked up. Launched from the backend's step thread.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "kernels/base/tensor.h"

namespace terrace {

/// A table on the device: rows of whole quantisation blocks, row_bytes apart; column 0 of the op is column first_col of a row.
struct DeviceTable {
  DType dtype = DType::kF32;
  const uint8_t* data = nullptr;
  int64_t row_bytes = 0;
  int64_t first_col = 0;
};

/// out[i] = table[tokens[i]] * scale, out.rows tokens; `tokens`: a slot of StepArrays. Tokens are in range: the host has looked.
void launch_embed(const DeviceTable& table, const int32_t* const* tokens, float scale, MatrixView out, cudaStream_t stream);

}  // namespace terrace
