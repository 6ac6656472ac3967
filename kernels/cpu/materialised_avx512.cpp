#include "kernels/cpu/lanes_avx2.h"
#include "kernels/cpu/lanes_avx512.h"
#include "kernels/cpu/materialised_kernel.h"

namespace terrace {
namespace {

Avx2Lanes fold(Avx512Wide a) { return {_mm256_add_ps(_mm512_castps512_ps256(a.reg), _mm512_extractf32x8_ps(a.reg, 1))}; }

void sum_four(const Avx512Wide (&sums)[4], float* to) { Avx2Lanes::sum4(fold(sums[0]), fold(sums[1]), fold(sums[2]), fold(sums[3]), to); }

}  // namespace

const MaterialisedKernels kAvx512Materialised = MaterialisedPasses<Avx512Wide>::kTable;

}  // namespace terrace
