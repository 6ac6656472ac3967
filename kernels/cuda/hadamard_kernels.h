// Heads turned back: what attention makes of values that lie turned in their pages. Launched from the backend's step thread.
#pragma once

#include <cuda_runtime_api.h>

#include "kernels/base/tensor.h"

namespace terrace {

inline constexpr int kMostTurnedDims = 256;  // of a head

/// Each head of `x`, in place. head_dim <= kMostTurnedDims.
void launch_turn_heads(MatrixView x, int32_t head_dim, cudaStream_t stream);

}  // namespace terrace
