// kernels/cpu/linear_pairs_amx.cpp once more, over AVX2 (its flags: tests/CMakeLists.txt).

#include "tests/support/kernels/avx512_by_avx2.h"

#include "tests/support/kernels/amx_by_loops.h"

#define amx_linear_kernels emulated_amx_linear_kernels
#define amx_pair_linear_kernels emulated_amx_pair_linear_kernels
#include "kernels/cpu/linear_pairs_amx.cpp"
