#include "kernels/cpu/lanes_avx2.h"
#include "kernels/cpu/row_ops_kernel.h"

namespace terrace {

const RowOps kAvx2RowOps = RowKernels<Avx2Lanes>::kTable;

}  // namespace terrace
