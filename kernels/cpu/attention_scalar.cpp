#include "kernels/cpu/attention_kernel.h"

namespace terrace {

const AttentionKernels kScalarAttention = {run_tiles<FloatTiles<ScalarLanes, ScalarLanes>>, run_merge<ScalarLanes>, run_bounds<ScalarLanes>, run_masses<ScalarLanes>};

size_t attention_scratch_floats(int32_t rows, int32_t head_dim) {
  using Rows = TileRows<ScalarLanes, ScalarLanes>;
  rows = (rows + 15) / 16 * 16;  // TileProducts::kRowStep
  const int32_t dims = Rows::padded(head_dim);
  return static_cast<size_t>(Rows::scratch_floats(rows, head_dim) + (FloatPacking<ScalarLanes>::chunk_keys(dims) + kColumns) * dims);
}

}  // namespace terrace
