// The linear kernels on AVX-512 without VNNI.

#include "kernels/cpu/avx512_vector.h"

namespace terrace {

const LinearKernels& avx512_linear_kernels() {
  static const LinearKernels kernels = make_kernels<Avx512Vector>();
  return kernels;
}

}  // namespace terrace
