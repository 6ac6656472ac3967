// Attention on AVX-512 with products of bfloat16 pairs.
#include "kernels/cpu/attention_pairs.h"
#include "kernels/cpu/lanes_avx2.h"
#include "kernels/cpu/pairs_avx512.h"

namespace terrace {

const AttentionKernels kBf16Attention = {run_tiles<PairTiles<Avx2Lanes, Bf16Pairs, VectorProducts<Bf16Pairs>>>, run_merge<Avx2Lanes>, run_bounds<Avx2Lanes>, run_masses<Avx2Lanes>};

}  // namespace terrace
