// A weight matrix in device memory, in the order of its products' lanes (device_weight.h). Packed on the host in pieces; read-only once made.
// GGUF's codes, scales and mins are kept exactly. F16 stays exact, BF16 too but for weights under 2^-28 of the matrix's largest; F32 is rounded
// to the 11 bits of f16.
#pragma once

#include "kernels/backend.h"
#include "kernels/base/thread_pool.h"
#include "kernels/cuda/cuda_device.h"
#include "kernels/cuda/device_weight.h"

namespace terrace {

class CudaWeight final : public Weight {
 public:
  /// Throws kModelUnsupported for a slice that cuts a group of columns which shares a scale. The pool's threads pack.
  CudaWeight(const HostMatrix& matrix, CudaDevice& device, ThreadPool& pool);

  /// What bytes() would be.
  static size_t packed_bytes(DType dtype, int64_t rows, int64_t cols);

  int64_t rows() const override { return device_.num_outputs; }
  int64_t cols() const override { return cols_; }
  size_t bytes() const override { return memory_.bytes(); }
  const DeviceWeight& device() const { return device_; }

 private:
  int64_t cols_;
  Buffer memory_;
  DeviceWeight device_;
};

}  // namespace terrace
