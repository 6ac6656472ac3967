#include "kernels/cuda/check.h"

#include <fmt/format.h>

#include "kernels/base/error.h"

namespace terrace {

void check_cuda(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  const std::string failure = fmt::format("{} failed: {} ({}, CUDA error {})", what, cudaGetErrorString(status), cudaGetErrorName(status), static_cast<int>(status));
  switch (status) {
    case cudaErrorMemoryAllocation:
      throw Error(ErrorCode::kOutOfMemory, failure + ": use fewer pages (cache.device), more ranks, or free the device's memory");
    default: throw Error(ErrorCode::kInternal, failure);
  }
}

}  // namespace terrace
