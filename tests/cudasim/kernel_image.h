// The kernels that host code has described, by their function's address. Any thread; entries live for ever.
#pragma once

#include "tests/cudasim/core.h"

namespace cudasim {

/// Null if describe_kernel() was never called for it. Looks its PTX up when it is first launched; with CUDASIM_PTX a kernel without PTX is unsupported().
const KernelImage* find_image(const void* function);

}  // namespace cudasim
