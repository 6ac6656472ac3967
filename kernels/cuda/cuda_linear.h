// Linear layers on the device: packs weights once, then x * weight^T by the kernel that fits the number of rows. Step thread only.
#pragma once

#include <cuda_runtime_api.h>

#include "kernels/backend.h"

namespace terrace {

class CudaDevice;

class CudaLinear {
 public:
  CudaLinear(CudaDevice& device, const BackendOptions& options);
  ~CudaLinear();
  std::unique_ptr<Weight> pack(const HostMatrix& matrix, const PackOptions& options);
  size_t packed_bytes(DType dtype, int64_t rows, int64_t cols, const PackOptions& options) const;
  void run(MatrixView x, std::span<const LinearOutput> outputs);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace terrace
