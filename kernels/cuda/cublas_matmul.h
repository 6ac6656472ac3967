// Matrix products of f16 rows by cuBLASLt, for many rows where bits may depend on their number (Numerics::kFast). The only user of cuBLASLt.
// Owns the library's handle, a workspace and one plan (descriptors and the algorithm that the heuristics chose) for each shape. Step thread only.
//
// Calls: cublasLtCreate, Destroy, MatmulDescCreate (CUBLAS_COMPUTE_32F, scale CUDA_R_32F), MatmulDescSetAttribute, MatmulDescDestroy,
// MatrixLayoutCreate (column-major), MatrixLayoutDestroy, MatmulPreferenceCreate, SetAttribute, Destroy, MatmulAlgoGetHeuristic (one result), Matmul.
// Attributes set: MATMUL_DESC_TRANSA = T, POINTER_MODE = DEVICE (alpha and beta), EPILOGUE = DEFAULT or BIAS, BIAS_POINTER (float, one for each row
// of D); MATMUL_PREF_MAX_WORKSPACE_BYTES, MIN_ALIGNMENT_C_BYTES, MIN_ALIGNMENT_D_BYTES. A and B are CUDA_R_16F, C and D the same CUDA_R_32F matrix.
#pragma once

#include <cublasLt.h>

#include <compare>
#include <cstdint>
#include <map>
#include <memory>

#include "kernels/base/tensor.h"

namespace terrace {

class CudaDevice;

/// out[rows, outputs] = alpha * x * weight^T + bias.
struct HalfProduct {
  const uint16_t* x = nullptr;       // [rows, cols] f16
  const uint16_t* weight = nullptr;  // [outputs, cols] f16
  int64_t rows = 0;
  int64_t outputs = 0;
  int64_t cols = 0;            // a multiple of 64: 128-byte rows
  const float* alpha = nullptr;  // on the device
  const float* bias = nullptr;   // [outputs] or none
  float* out = nullptr;
  int64_t out_stride = 0;        // floats
};

class CublasMatmul {
 public:
  static constexpr size_t kWorkspaceBytes = size_t{32} << 20;  // what cuBLAS itself takes on compute capability 9.0

  explicit CublasMatmul(CudaDevice& device);
  ~CublasMatmul();
  CublasMatmul(const CublasMatmul&) = delete;
  CublasMatmul& operator=(const CublasMatmul&) = delete;

  void run(const HalfProduct& product);

 private:
  struct Shape {
    int64_t rows, outputs, cols, out_stride;
    uint32_t out_alignment;  // bytes
    bool bias;
    auto operator<=>(const Shape&) const = default;
  };
  struct Plan;

  static Shape shape_of(const HalfProduct& product);
  const Plan& plan_for(const Shape& shape);

  CudaDevice& device_;
  cublasLtHandle_t handle_ = nullptr;
  Buffer workspace_;
  Buffer zero_;  // beta
  std::map<Shape, std::unique_ptr<Plan>> plans_;
};

}  // namespace terrace
