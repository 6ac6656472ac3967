// Attention on AMX with tiles of bfloat16 pairs.
#include "kernels/cpu/attention_pairs.h"
#include "kernels/cpu/lanes_avx2.h"
#include "kernels/cpu/pairs_avx512.h"
#include "kernels/cpu/tile_products.h"

namespace terrace {

const AttentionKernels kAmxAttention = {run_tiles<PairTiles<Avx2Lanes, Bf16Pairs, TileProducts>>, run_merge<Avx2Lanes>, run_bounds<Avx2Lanes>, run_masses<Avx2Lanes>};

}  // namespace terrace
