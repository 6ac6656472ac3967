#include "kernels/cpu/attention_kernel.h"
#include "kernels/cpu/pairs_avx512.h"

namespace terrace {

const AttentionKernels kVnniAttention = {run_tiles<Avx512Vectors<true>>, run_merge<Avx2Lanes>};

}  // namespace terrace
