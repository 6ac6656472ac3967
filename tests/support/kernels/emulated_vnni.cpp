// kernels/cpu/linear_vnni.cpp once more, over AVX2 (its flags: tests/CMakeLists.txt).

#include "tests/support/kernels/avx512_by_avx2.h"

#define vnni_linear_kernels emulated_vnni_linear_kernels
#include "kernels/cpu/linear_vnni.cpp"
