#include "kernels/cpu/lanes.h"
#include "kernels/cpu/materialised_kernel.h"

namespace terrace {

const MaterialisedKernels kScalarMaterialised = MaterialisedPasses<ScalarLanes>::kTable;

}  // namespace terrace
