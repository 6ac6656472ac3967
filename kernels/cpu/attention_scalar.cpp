#include "kernels/cpu/attention_kernel.h"

namespace terrace {

const AttentionKernels kScalarAttention = {run_tile<ScalarLanes>, run_merge<ScalarLanes>};

size_t attention_scratch_floats(int32_t rows, int32_t head_dim, int32_t page_tokens) {
  const int32_t dims = (head_dim + kLanes - 1) / kLanes * kLanes;
  const int32_t chunk_keys = TileKernel<ScalarLanes, float>::chunk_keys(dims, page_tokens);
  return static_cast<size_t>(rows * (3 * dims + kAttentionSplit + 3) + chunk_keys * dims);
}

}  // namespace terrace
