#include "kernels/cpu/attention_kernel.h"

namespace terrace {

const AttentionKernels kScalarAttention = {run_tiles<ScalarVectors>, run_merge<ScalarLanes>};

size_t attention_scratch_floats(int32_t rows, int32_t head_dim) {
  return static_cast<size_t>(TileMemory(nullptr, rows, head_dim, kMostDirectBlocks).floats);
}

}  // namespace terrace
