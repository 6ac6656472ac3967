#include "kernels/cpu/attention_kernel.h"

namespace terrace {

const AttentionKernels kScalarAttention = {run_tiles<ScalarLanes, ScalarLanes>, run_merge<ScalarLanes>};

size_t attention_scratch_floats(int32_t rows, int32_t head_dim) {
  const int32_t dims = TileRows<ScalarLanes, ScalarLanes>::padded(head_dim);
  const int32_t wide_floats = (WideTile<ScalarLanes, ScalarLanes, float, float>::chunk_keys(dims) + kColumns) * dims;
  return static_cast<size_t>(TileRows<ScalarLanes, ScalarLanes>::scratch_floats(rows, head_dim) + wide_floats);
}

}  // namespace terrace
