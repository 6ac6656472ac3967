// CUDA's status codes as Errors with a sentence. Any thread.
#pragma once

#include <cuda_runtime_api.h>

namespace terrace {

/// Throws an Error that names `what` (e.g. "the copy of the step's arrays (4,096 bytes)"), the code's name and the way out; kOutOfMemory for cudaErrorMemoryAllocation.
void check_cuda(cudaError_t status, const char* what);

}  // namespace terrace
