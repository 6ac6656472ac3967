// Selection of the next tokens' candidates on the device, and the scratch it needs. Owned by the CUDA backend, used from its step
// thread; waits for the device once per call. Does not sample: that is rank 0's business.
#pragma once

#include <span>

#include "kernels/backend.h"
#include "kernels/cuda/cuda_device.h"

namespace terrace {

class CudaSelector {
 public:
  explicit CudaSelector(CudaDevice& device) : device_(device) {}

  /// Backend::select_top.
  void select(MatrixView logits, int count, std::span<TopLogits> out);

 private:
  /// For counts and rows that the kernels do not take: the rows come to the host.
  void select_on_host(MatrixView logits, int64_t count, std::span<TopLogits> out);

  CudaDevice& device_;
  Buffer scratch_;  // grows
};

}  // namespace terrace
