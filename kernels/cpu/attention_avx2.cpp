#include "kernels/cpu/attention_kernel.h"
#include "kernels/cpu/pairs_avx2.h"

namespace terrace {

const AttentionKernels kAvx2Attention = {run_tiles<Avx2Vectors>, run_merge<Avx2Lanes>};

}  // namespace terrace
