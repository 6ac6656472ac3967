// Attention's AVX-512 kernels on a machine that has AVX2 only (avx512_by_avx2.h): the same source, the same bits, slow. And its products of bfloat16
// pairs (attention_pairs.h) by loops, and by AMX's tiles as loops (amx_by_loops.h).
#pragma once

#include "kernels/cpu/attention_tile.h"

namespace terrace {

extern const AttentionKernels kEmulatedAvx512Attention;
extern const AttentionKernels kLoopPairsAttention;
extern const AttentionKernels kLoopTilesAttention;  // AMX's

}  // namespace terrace
