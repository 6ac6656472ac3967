// A table for embed() in device memory, as it lies in the file: whole quantisation blocks, dequantised when rows are looked up.
// Made at loading, then only read; step thread.
#pragma once

#include "kernels/backend.h"
#include "kernels/cuda/cuda_device.h"
#include "kernels/cuda/embedding_kernels.h"

namespace terrace {

class CudaEmbedding : public Weight {
 public:
  /// Copies the slice's blocks; `matrix` may be released afterwards.
  CudaEmbedding(CudaDevice& device, const HostMatrix& matrix);
  int64_t rows() const override { return rows_; }
  int64_t cols() const override { return cols_; }
  size_t bytes() const override { return memory_.bytes(); }
  const DeviceTable& table() const { return table_; }

 private:
  int64_t rows_;
  int64_t cols_;
  Buffer memory_;
  DeviceTable table_;
};

}  // namespace terrace
