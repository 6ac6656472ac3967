// kernels/cpu/linear_avx512.cpp once more, over AVX2 (its flags: tests/CMakeLists.txt).

#include "tests/support/kernels/avx512_by_avx2.h"

#define avx512_linear_kernels emulated_avx512_linear_kernels
#include "kernels/cpu/linear_avx512.cpp"
