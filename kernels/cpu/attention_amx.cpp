// Attention on AMX with tiles of bfloat16 pairs. Products are cheap, so that packing K and V weighs more: twice as many rows share it (measured: 1.0 to 1.13 times
// as fast at a prompt of 8,191); processors with AMX have 2 MiB of L2.
#include "kernels/cpu/attention_pairs.h"
#include "kernels/cpu/lanes_avx2.h"
#include "kernels/cpu/pairs_avx512.h"
#include "kernels/cpu/tile_products.h"

namespace terrace {

const AttentionKernels kAmxAttention = {run_tiles<PairTiles<Avx2Lanes, Bf16Pairs, TileProducts>>, run_merge<Avx2Lanes>, run_bounds<Avx2Lanes>, run_masses<Avx2Lanes>, 384};

}  // namespace terrace
