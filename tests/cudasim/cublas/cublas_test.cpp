// The simulated cuBLASLt: right within rounding, an order of sums that depends on shape and seed, and what callers get wrong is found.
#include <cublasLt.h>
#include <cuda_fp16.h>

#include <cmath>

#include "tests/cudasim/self/simulated_test.h"

namespace self {
namespace {

constexpr int kRows = 5, kOutputs = 24, kCols = 192;

uint16_t half_bits(float value) { return __half_raw(__float2half(value)).x; }
float weight_at(int output, int col) { return __half2float(__float2half(std::sin(static_cast<float>(output * 31 + col)))); }
float x_at(int row, int col) { return __half2float(__float2half(std::cos(static_cast<float>(row * 17 + col * 3)) * 4)); }

class CublasTest : public SimulatedTest {
 protected:
  void SetUp() override {
    SimulatedTest::SetUp();
    std::vector<uint16_t> weights, x;
    for (int o = 0; o < kOutputs; ++o) for (int c = 0; c < kCols; ++c) weights.push_back(half_bits(weight_at(o, c)));
    for (int r = 0; r < kRows + 1; ++r) for (int c = 0; c < kCols; ++c) x.push_back(half_bits(x_at(r, c)));
    weights_ = upload(weights), x_ = upload(x);
    scalars_ = upload(std::vector<float>{0.5f, 0.0f});
    bias_ = upload(std::vector<float>(kOutputs, 3.0f));
    out_ = device(kRows * kOutputs);
    workspace_ = device(1 << 18);
    ASSERT_EQ(cublasLtCreate(&handle_), CUBLAS_STATUS_SUCCESS);
  }
  void TearDown() override {
    EXPECT_EQ(cublasLtDestroy(handle_), CUBLAS_STATUS_SUCCESS);
    SimulatedTest::TearDown();
  }

  template <typename Type>
  static void set(cublasLtMatmulDesc_t operation, cublasLtMatmulDescAttributes_t attribute, const Type& value) {
    EXPECT_EQ(cublasLtMatmulDescSetAttribute(operation, attribute, &value, sizeof value), CUBLAS_STATUS_SUCCESS);
  }

  /// out[rows, outputs] = 0.5 x weight^T + 3. `planned_rows`: those that the algorithm is chosen for. `out_shift`: floats.
  cublasStatus_t product(int rows, int planned_rows, int out_shift = 0) {
    cublasLtMatmulDesc_t operation = nullptr;
    EXPECT_EQ(cublasLtMatmulDescCreate(&operation, CUBLAS_COMPUTE_32F, CUDA_R_32F), CUBLAS_STATUS_SUCCESS);
    set(operation, CUBLASLT_MATMUL_DESC_TRANSA, CUBLAS_OP_T);
    set(operation, CUBLASLT_MATMUL_DESC_POINTER_MODE, CUBLASLT_POINTER_MODE_DEVICE);
    set(operation, CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS);
    set(operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, static_cast<const float*>(bias_));
    cublasLtMatrixLayout_t a = nullptr, b[2] = {}, d[2] = {};
    cublasLtMatrixLayoutCreate(&a, CUDA_R_16F, kCols, kOutputs, kCols);
    for (int i : {0, 1}) {
      const auto count = static_cast<uint64_t>(i == 0 ? rows : planned_rows);
      cublasLtMatrixLayoutCreate(&b[i], CUDA_R_16F, kCols, count, kCols);
      cublasLtMatrixLayoutCreate(&d[i], CUDA_R_32F, kOutputs, count, kOutputs);
    }
    cublasLtMatmulPreference_t preference = nullptr;
    cublasLtMatmulPreferenceCreate(&preference);
    const uint64_t bytes = 1 << 20;
    cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &bytes, sizeof bytes);
    cublasLtMatmulHeuristicResult_t result = {};
    int found = 0;
    EXPECT_EQ(cublasLtMatmulAlgoGetHeuristic(handle_, operation, a, b[1], d[1], d[1], preference, 1, &result, &found), CUBLAS_STATUS_SUCCESS);
    float* out = out_ + out_shift;
    const cublasStatus_t status = cublasLtMatmul(handle_, operation, scalars_, weights_, a, x_, b[0], scalars_ + 1, out, d[0], out, d[0], &result.algo, workspace_, bytes, a_);
    for (cublasLtMatrixLayout_t layout : {a, b[0], b[1], d[0], d[1]}) cublasLtMatrixLayoutDestroy(layout);
    cublasLtMatmulPreferenceDestroy(preference);
    cublasLtMatmulDescDestroy(operation);
    return status;
  }

  uint16_t *weights_ = nullptr, *x_ = nullptr;
  float *scalars_ = nullptr, *bias_ = nullptr, *out_ = nullptr, *workspace_ = nullptr;
  cublasLtHandle_t handle_ = nullptr;
};

TEST_F(CublasTest, IsRightWithinRounding) {
  ASSERT_EQ(product(kRows, kRows), CUBLAS_STATUS_SUCCESS);
  const std::vector<float> out = download(out_, kRows * kOutputs);
  for (int r = 0; r < kRows; ++r) {
    for (int o = 0; o < kOutputs; ++o) {
      double wanted = 0;
      for (int c = 0; c < kCols; ++c) wanted += double{x_at(r, c)} * weight_at(o, c);
      ASSERT_NEAR(out[static_cast<size_t>(r * kOutputs + o)], 0.5 * wanted + 3, 1e-4) << r << ", " << o;
    }
  }
}

TEST_F(CublasTest, ARowsBitsDependOnTheNumberOfRowsAndOnTheSeed) {
  bool rows_matter = false, seed_matters = false;
  std::vector<float> first;
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    cudasim::settings().seed = seed;
    ASSERT_EQ(product(kRows, kRows), CUBLAS_STATUS_SUCCESS);
    const std::vector<float> many = download(out_, kOutputs);
    ASSERT_EQ(product(1, 1), CUBLAS_STATUS_SUCCESS);
    rows_matter |= many != download(out_, kOutputs);
    if (first.empty()) first = many;
    seed_matters |= first != many;
  }
  EXPECT_TRUE(rows_matter);
  EXPECT_TRUE(seed_matters);
}

TEST_F(CublasTest, AnAlgorithmOfAnotherProductIsFound) {
  EXPECT_EQ(product(kRows, kRows - 1), CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_TRUE(contains(cudasim::take_findings(), "the algorithm was not chosen for this product"));
}

TEST_F(CublasTest, AnAlignmentThatWasNotPromisedIsFound) {
  EXPECT_EQ(product(1, 1, 8), CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_TRUE(contains(cudasim::take_findings(), "is not aligned to the 256 bytes"));
}

TEST_F(CublasTest, WhatIsNotSimulatedEndsTheProcess) {
  EXPECT_EXIT(
      {
        cublasLtMatrixLayout_t layout = nullptr;
        cublasLtMatrixLayoutCreate(&layout, CUDA_R_8I, 4, 4, 4);
      },
      testing::ExitedWithCode(87), "UNSUPPORTED cuBLASLt: a matrix of type");
}

}  // namespace
}  // namespace self
