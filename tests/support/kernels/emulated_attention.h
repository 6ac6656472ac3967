// Attention's AVX-512 kernels on a machine that has AVX2 only (avx512_by_avx2.h): the same source, the same bits, slow.
#pragma once

#include "kernels/cpu/attention_tile.h"

namespace terrace {

extern const AttentionKernels kEmulatedAvx512Attention;

}  // namespace terrace
