// Attention's AVX-512 kernels on a machine that has AVX2 only (avx512_by_avx2.h): the same source, the same bits, slow. And its products of bfloat16
// pairs (attention_pairs.h) by loops.
#pragma once

#include "kernels/cpu/attention_tile.h"

namespace terrace {

extern const AttentionKernels kEmulatedAvx512Attention;
extern const AttentionKernels kLoopPairsAttention;

}  // namespace terrace
