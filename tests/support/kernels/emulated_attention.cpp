// kernels/cpu/attention_avx512.cpp and attention_vnni.cpp once more, over AVX2 (their flags: tests/CMakeLists.txt).
#include "tests/support/kernels/emulated_attention.h"

#include "tests/support/kernels/avx512_by_avx2.h"

#define kAvx512Attention kEmulatedAvx512Attention
#define kVnniAttention kEmulatedVnniAttention
#include "kernels/cpu/attention_avx512.cpp"
#include "kernels/cpu/attention_vnni.cpp"
