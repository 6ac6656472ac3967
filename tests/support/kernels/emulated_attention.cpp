// kernels/cpu/attention_avx512.cpp once more, over AVX2 (its flags: tests/CMakeLists.txt).
#include "tests/support/kernels/emulated_attention.h"

#include "tests/support/kernels/avx512_by_avx2.h"

#define kAvx512Attention kEmulatedAvx512Attention
#include "kernels/cpu/attention_avx512.cpp"
