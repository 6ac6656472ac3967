#include "kernels/cpu/attention_kernel.h"

namespace terrace {

const AttentionKernels kScalarAttention = {run_tile<ScalarLanes>, run_merge<ScalarLanes>};

size_t attention_scratch_floats(int32_t rows, int32_t head_dim, int32_t page_tokens) {
  const size_t dims = static_cast<size_t>((head_dim + kLanes - 1) / kLanes * kLanes);
  return static_cast<size_t>(rows) * (3 * dims + kAttentionSplit + 3) + static_cast<size_t>(page_tokens) * dims;
}

}  // namespace terrace
