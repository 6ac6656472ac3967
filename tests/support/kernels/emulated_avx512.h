// The AVX-512, VNNI and AMX kernels on a machine that has AVX2 only (avx512_by_avx2.h, amx_by_loops.h): the same source, the same bits, slow.
#pragma once

#include "kernels/cpu/linear_kernels.h"

namespace terrace {

const LinearKernels& emulated_avx512_linear_kernels();
const LinearKernels& emulated_vnni_linear_kernels();
const LinearKernels& emulated_amx_linear_kernels();
const LinearKernels& emulated_amx_pair_linear_kernels();

}  // namespace terrace
