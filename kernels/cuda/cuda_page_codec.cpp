#include "kernels/cuda/cuda_page_codec.h"

#include <fmt/format.h>

#include "kernels/base/error.h"
#include "kernels/cuda/hadamard_kernels.h"

namespace terrace {

CudaPageCodec::CudaPageCodec(const PageLayout& device, const PageLayout& stored) : device_(device), stored_(stored) {
  check_stored_format(device, stored);
  if (device.head_dim > kMostTurnedDims) {
    throw Error(ErrorCode::kInvalidValue, fmt::format("pages of heads of {} dims stored in 8 bits: a CUDA device takes up to {}; set cache.host_format to same", device.head_dim, kMostTurnedDims));
  }
}

}  // namespace terrace
