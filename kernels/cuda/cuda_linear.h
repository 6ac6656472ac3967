// Linear layers on the device: packs weights once, then x * weight^T by the kernel that fits the number of rows. Step thread only.
// Owns the scratch that a call's converted activations take; it grows with the largest call and is never moved while a graph may hold it.
//
// Precision: activations are rounded to f16's 11 bits, with a power-of-two scale for each row; weights are exact (cuda_weight.h); products are
// exact and sums are float. PackOptions.fine_activations changes nothing: 11 bits of each value's own beat the 8 bits of a block's largest.
#pragma once

#include <cuda_runtime_api.h>

#include "kernels/backend.h"

namespace terrace {

class CudaDevice;
class ThreadPool;

class CudaLinear {
 public:
  /// `pool` packs weights; both outlive this.
  CudaLinear(CudaDevice& device, const BackendOptions& options, ThreadPool& pool);
  ~CudaLinear();
  std::unique_ptr<Weight> pack(const HostMatrix& matrix, const PackOptions& options);
  size_t packed_bytes(DType dtype, int64_t rows, int64_t cols, const PackOptions& options) const;
  /// Device memory to leave for what run() takes at need, by a generous guess: converted activations, partial sums, a slice of weights as f16.
  size_t scratch_bytes() const;
  void run(MatrixView x, std::span<const LinearOutput> outputs);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace terrace
