// The linear kernels on AVX-512 with VNNI.

#include "kernels/cpu/avx512_vector.h"

namespace terrace {
namespace {

/// VNNI multiplies unsigned by signed bytes straight into 32 bits, for all 8 bits of a code.
struct VnniVector : ByteDotVector {
  // A sum is ready after 5 cycles on Intel's cores, which begin two products a cycle: the ten sums that takes would fill their scheduler, 8 products each.
  static constexpr bool kTwoSums = true;

  static Chain begin_chain(Bytes weights, Bytes x) { return add_to_chain(_mm512_setzero_si512(), weights, x); }
  static Chain add_to_chain(Chain chain, Bytes weights, Bytes x) { return _mm512_dpbusd_epi32(chain, weights, x); }
  template <int kShift>
  static Ints end_chain(Chain chain) { return kShift == 0 ? chain : shift_left<kShift>(chain); }

  static Ints multiply_pairs(Bytes weights, Bytes x) { return add_pairs(_mm512_setzero_si512(), weights, x); }
  static Ints add_pairs(Ints sums, Bytes weights, Bytes x) { return _mm512_dpwssd_epi32(sums, weights, x); }
};

}  // namespace

const LinearKernels& vnni_linear_kernels() {
  static const LinearKernels kernels = make_kernels<VnniVector>();
  return kernels;
}

}  // namespace terrace
