#include "kernels/cpu/attention_kernel.h"
#include "kernels/cpu/pairs_avx512.h"

namespace terrace {

const AttentionKernels kAvx512Attention = {run_tiles<Avx512Vectors<false>>, run_merge<Avx2Lanes>};

}  // namespace terrace
