#include "kernels/cpu/attention_kernel.h"
#include "kernels/cpu/lanes_avx2.h"

namespace terrace {

const AttentionKernels kAvx2Attention = {run_tiles<FloatTiles<Avx2Lanes, Avx2Lanes>>, run_merge<Avx2Lanes>, run_bounds<Avx2Lanes>, run_masses<Avx2Lanes>};

}  // namespace terrace
