#include "kernels/cuda/cublas_matmul.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>

#include "kernels/base/error.h"
#include "kernels/cuda/cuda_device.h"

namespace terrace {
namespace {

constexpr size_t kMostPlans = 4096;  // then all are forgotten: rows vary from call to call

void check(cublasStatus_t status, const std::string& what) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  throw Error(status == CUBLAS_STATUS_ALLOC_FAILED ? ErrorCode::kOutOfMemory : ErrorCode::kInternal,
              fmt::format("cuBLASLt: {} failed: {}", what, cublasLtGetStatusName(status)));
}

template <typename Type>
void set(cublasLtMatmulDesc_t operation, cublasLtMatmulDescAttributes_t attribute, const Type& value) {
  check(cublasLtMatmulDescSetAttribute(operation, attribute, &value, sizeof value), "an attribute of a product");
}

template <typename Type>
void set(cublasLtMatmulPreference_t preference, cublasLtMatmulPreferenceAttributes_t attribute, const Type& value) {
  check(cublasLtMatmulPreferenceSetAttribute(preference, attribute, &value, sizeof value), "a preference");
}

struct Destroy {
  void operator()(cublasLtMatmulDesc_t operation) const { cublasLtMatmulDescDestroy(operation); }
  void operator()(cublasLtMatrixLayout_t layout) const { cublasLtMatrixLayoutDestroy(layout); }
  void operator()(cublasLtMatmulPreference_t preference) const { cublasLtMatmulPreferenceDestroy(preference); }
};
using Operation = std::unique_ptr<std::remove_pointer_t<cublasLtMatmulDesc_t>, Destroy>;
using Layout = std::unique_ptr<std::remove_pointer_t<cublasLtMatrixLayout_t>, Destroy>;
using Preference = std::unique_ptr<std::remove_pointer_t<cublasLtMatmulPreference_t>, Destroy>;

Layout make_layout(cudaDataType type, int64_t rows, int64_t cols, int64_t column_stride) {
  cublasLtMatrixLayout_t layout = nullptr;
  check(cublasLtMatrixLayoutCreate(&layout, type, static_cast<uint64_t>(rows), static_cast<uint64_t>(cols), column_stride), "a matrix layout");
  return Layout(layout);
}

std::string describe(const char* what, int64_t rows, int64_t cols, int64_t outputs) {
  return fmt::format("{} of {} rows x {} columns x {} outputs in f16", what, rows, cols, outputs);
}

Operation make_operation(bool bias) {
  cublasLtMatmulDesc_t made = nullptr;
  check(cublasLtMatmulDescCreate(&made, CUBLAS_COMPUTE_32F, CUDA_R_32F), "a product's description");
  Operation operation(made);
  set(made, CUBLASLT_MATMUL_DESC_TRANSA, CUBLAS_OP_T);
  set(made, CUBLASLT_MATMUL_DESC_POINTER_MODE, CUBLASLT_POINTER_MODE_DEVICE);
  set(made, CUBLASLT_MATMUL_DESC_EPILOGUE, bias ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT);
  return operation;
}

}  // namespace

/// In cuBLAS's column-major words: D[outputs x rows] = A^T B, with A = the weights [cols x outputs] and B = x [cols x rows].
struct CublasMatmul::Plan {
  Operation operation;
  Layout a, b, d;
  cublasLtMatmulAlgo_t algorithm = {};

  Plan(cublasLtHandle_t handle, const Shape& shape)
      : operation(make_operation(shape.bias)),
        a(make_layout(CUDA_R_16F, shape.cols, shape.outputs, shape.cols)),
        b(make_layout(CUDA_R_16F, shape.cols, shape.rows, shape.cols)),
        d(make_layout(CUDA_R_32F, shape.outputs, shape.rows, shape.out_stride)) {
    cublasLtMatmulPreference_t made = nullptr;
    check(cublasLtMatmulPreferenceCreate(&made), "a preference");
    const Preference preference(made);
    set(made, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, kWorkspaceBytes);
    set(made, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, shape.out_alignment);
    set(made, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, shape.out_alignment);
    cublasLtMatmulHeuristicResult_t result = {};
    int found = 0;
    check(cublasLtMatmulAlgoGetHeuristic(handle, operation.get(), a.get(), b.get(), d.get(), d.get(), made, 1, &result, &found),
          describe("the choice of an algorithm for a product", shape.rows, shape.cols, shape.outputs));
    if (found == 0) {
      throw Error(ErrorCode::kInternal, fmt::format("cuBLASLt has no algorithm for {} rows x {} columns x {} outputs in f16: use numerics: invariant",
                                                    shape.rows, shape.cols, shape.outputs));
    }
    algorithm = result.algo;
  }
};

CublasMatmul::CublasMatmul(CudaDevice& device) : device_(device), workspace_(device.allocate(kWorkspaceBytes)), zero_(device.allocate(sizeof(float))) {
  check(cublasLtCreate(&handle_), "its start");
}

CublasMatmul::~CublasMatmul() {
  plans_.clear();
  cublasLtDestroy(handle_);
}

CublasMatmul::Shape CublasMatmul::shape_of(const HalfProduct& product) {
  const uintptr_t bits = reinterpret_cast<uintptr_t>(product.out) | static_cast<uintptr_t>(product.out_stride) * sizeof(float) | 256;
  return {product.rows, product.outputs, product.cols, product.out_stride, static_cast<uint32_t>(bits & -bits), product.bias != nullptr};
}

const CublasMatmul::Plan& CublasMatmul::plan_for(const Shape& shape) {
  if (plans_.size() >= kMostPlans) plans_.clear();
  std::unique_ptr<Plan>& plan = plans_[shape];
  if (plan == nullptr) plan = std::make_unique<Plan>(handle_, shape);
  return *plan;
}

void CublasMatmul::run(const HalfProduct& product) {
  const Plan& plan = plan_for(shape_of(product));
  if (product.bias != nullptr) set(plan.operation.get(), CUBLASLT_MATMUL_DESC_BIAS_POINTER, product.bias);
  const cublasStatus_t status =
      cublasLtMatmul(handle_, plan.operation.get(), product.alpha, product.weight, plan.a.get(), product.x, plan.b.get(), zero_.data(), product.out,
                     plan.d.get(), product.out, plan.d.get(), &plan.algorithm, workspace_.data(), kWorkspaceBytes, device_.stream());
  if (status != CUBLAS_STATUS_SUCCESS) check(status, describe("a product", product.rows, product.cols, product.outputs));
}

}  // namespace terrace
