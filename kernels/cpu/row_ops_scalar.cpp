#include "kernels/cpu/row_ops_kernel.h"

namespace terrace {

const RowOps kScalarRowOps = RowKernels<ScalarLanes>::kTable;

}  // namespace terrace
