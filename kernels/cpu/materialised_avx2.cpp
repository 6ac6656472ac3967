#include "kernels/cpu/lanes_avx2.h"
#include "kernels/cpu/materialised_kernel.h"

namespace terrace {

const MaterialisedKernels kAvx2Materialised = MaterialisedPasses<Avx2Lanes>::kTable;

}  // namespace terrace
