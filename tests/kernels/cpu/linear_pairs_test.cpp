// Linear ops of Numerics::kFast: products of bfloat16 for many rows (kernels/cpu/linear_pairs_amx.cpp).

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <tuple>

#include "kernels/cpu/linear.h"
#include "kernels/quant_block.h"
#include "tests/support/kernels/emulated_avx512.h"
#include "tests/support/kernels/random_weights.h"

namespace terrace {
namespace {

using testing::kAllDTypes;
using testing::make_random_activations;
using testing::make_random_matrix;
using testing::RandomMatrix;

struct NamedKernels {
  std::string name;
  const LinearKernels& pairs;
  const LinearKernels& invariant;
};

std::vector<NamedKernels> pair_kernels() {
  std::vector<NamedKernels> all;
  if (detect_isa() >= Isa::kAvx2) all.push_back({"emulated", emulated_amx_pair_linear_kernels(), emulated_amx_linear_kernels()});
  if (has_amx_bf16()) all.push_back({"amx", amx_pair_linear_kernels(), amx_linear_kernels()});
  return all;
}

std::vector<float> multiply(const LinearKernels& kernels, int num_threads, const HostMatrix& matrix, std::vector<float> x, const float* bias = nullptr) {
  ThreadPool pool(num_threads);
  LinearOps linear(kernels, pool);
  const std::unique_ptr<Weight> weight = linear.pack(matrix, {});
  const int64_t rows = static_cast<int64_t>(x.size()) / matrix.cols;
  std::vector<float> out(static_cast<size_t>(rows * matrix.rows), -1.0f);
  const LinearOutput output = {weight.get(), {out.data(), rows, matrix.rows, matrix.rows}, bias};
  linear.run({x.data(), rows, matrix.cols, matrix.cols}, {&output, 1});
  return out;
}

/// Both factors are rounded to 8 bits; sums are of floats. The largest weight stands for scale and min, which may cancel.
void expect_near_reference(const HostMatrix& matrix, const std::vector<float>& x, const std::vector<float>& bias, const std::vector<float>& out) {
  const auto cols = static_cast<size_t>(matrix.cols);
  const auto outputs = static_cast<size_t>(matrix.rows);
  std::vector<float> weights(cols);
  for (size_t j = 0; j < outputs; ++j) {
    dequantize_row(matrix.dtype, matrix.data + j * matrix.row_bytes, matrix.first_col, matrix.cols, weights.data());
    double largest = 0;
    for (const float weight : weights) largest = std::max(largest, std::fabs(static_cast<double>(weight)));
    for (size_t i = 0; i < x.size() / cols; ++i) {
      double expected = bias[j], magnitudes = 0, sum_x = 0;
      for (size_t c = 0; c < cols; ++c) {
        const double product = static_cast<double>(weights[c]) * x[i * cols + c];
        expected += product;
        magnitudes += std::fabs(product);
        sum_x += std::fabs(x[i * cols + c]);
      }
      const double bound = magnitudes * (0x1.01p-7 + static_cast<double>(cols) * 0x1p-23) + sum_x * largest * 0x1p-13;
      ASSERT_NEAR(out[i * outputs + j], expected, bound) << "row " << i << ", output " << j;
    }
  }
}

TEST(LinearPairsTest, AreTheExactProductButForRounding) {
  struct Case {
    DType dtype;
    int64_t rows, outputs, cols;
  };
  std::vector<Case> cases = {{DType::kQ4_1, 33, 64, 2304}, {DType::kQ6_K, 48, 33, 768}, {DType::kQ5_0, 31, 32, 96}, {DType::kF32, 17, 21, 100},
                             {DType::kBF16, 64, 40, 345}, {DType::kF16, 16, 16, 31}, {DType::kQ4_1, 545, 48, 64}};
  for (const DType dtype : kAllDTypes) cases.push_back({dtype, 37, 45, 256});
  std::mt19937 random(21);
  for (const auto& [name, pairs, invariant] : pair_kernels()) {
    for (const Case& c : cases) {
      SCOPED_TRACE(name + ", " + std::string(dtype_info(c.dtype).name) + ", " + std::to_string(c.rows) + " rows");
      const RandomMatrix weight = make_random_matrix(c.dtype, c.outputs, c.cols, random);
      const std::vector<float> x = make_random_activations(c.rows, c.cols, random);
      const std::vector<float> bias = make_random_activations(1, c.outputs, random);
      expect_near_reference(weight.matrix, x, bias, multiply(pairs, 2, weight.matrix, x, bias.data()));
      const std::vector<float> none(static_cast<size_t>(c.outputs));
      expect_near_reference(weight.matrix, x, none, multiply(pairs, 1, weight.matrix, x));
    }
  }
}

TEST(LinearPairsTest, ThreadsChangeNoBit) {
  std::mt19937 random(22);
  for (const auto& [rows, outputs, cols] : {std::tuple{1040, 70, 640}, std::tuple{4609, 16, 32}, std::tuple{513, 32, 64}}) {
    const RandomMatrix weight = make_random_matrix(DType::kQ4_1, outputs, cols, random);
    const std::vector<float> x = make_random_activations(rows, cols, random);
    for (const auto& [name, pairs, invariant] : pair_kernels()) {
      const std::vector<float> out = multiply(pairs, 1, weight.matrix, x);
      for (const int num_threads : {2, 5, 18}) EXPECT_EQ(out, multiply(pairs, num_threads, weight.matrix, x)) << name << ", " << rows << " rows";
    }
  }
}

TEST(LinearPairsTest, PairsOfOutputsInWiderRowsAreThoseOfOneOutput) {
  std::mt19937 random(25);
  constexpr int64_t kRows = 530, kCols = 96, kOutputs = 80, kStride = 100;
  const RandomMatrix matrices[] = {make_random_matrix(DType::kQ4_1, kOutputs, kCols, random), make_random_matrix(DType::kQ8_0, kOutputs, kCols, random)};
  std::vector<float> x = make_random_activations(kRows, kCols, random);
  for (const auto& [name, pairs, invariant] : pair_kernels()) {
    ThreadPool pool(2);
    LinearOps linear(pairs, pool);
    const auto first = linear.pack(matrices[0].matrix, {}), second = linear.pack(matrices[1].matrix, {.fine_activations = true});
    std::vector<float> out[2] = {std::vector<float>(kRows * kStride, -1.0f), std::vector<float>(kRows * kStride, -1.0f)};
    const LinearOutput outputs[] = {{first.get(), {out[0].data(), kRows, kOutputs, kStride}, nullptr}, {second.get(), {out[1].data(), kRows, kOutputs, kStride}, nullptr}};
    std::vector<int> finished(kRows * kOutputs);
    linear.run_pair({x.data(), kRows, kCols, kCols}, outputs[0], outputs[1], [&](const LinearOps::Part& part) {
      for (int64_t row = part.first_row; row < part.first_row + part.num_rows; ++row) {
        for (int64_t col = part.first_col; col < part.first_col + part.num_cols; ++col) ++finished[static_cast<size_t>(row * kOutputs + col)];
      }
    });
    EXPECT_EQ(finished, std::vector<int>(kRows * kOutputs, 1)) << name;
    for (int i = 0; i < 2; ++i) {
      const std::vector<float> alone = multiply(pairs, 1, matrices[i].matrix, x);
      for (int64_t row = 0; row < kRows; ++row) {
        const float* at = out[i].data() + row * kStride;
        EXPECT_EQ(0, std::memcmp(at, alone.data() + row * kOutputs, kOutputs * sizeof(float))) << name << ", row " << row;
        for (int64_t col = kOutputs; col < kStride; ++col) EXPECT_EQ(at[col], -1.0f) << name;
      }
    }
  }
}

TEST(LinearPairsTest, FewRowsAreInvariant) {
  std::mt19937 random(23);
  for (const DType dtype : {DType::kQ4_1, DType::kF16}) {
    const RandomMatrix weight = make_random_matrix(dtype, 40, 256, random);
    for (const auto& [name, pairs, invariant] : pair_kernels()) {
      const std::vector<float> few = make_random_activations(pairs.fewest_pair_rows - 1, 256, random);
      EXPECT_EQ(multiply(invariant, 1, weight.matrix, few), multiply(pairs, 1, weight.matrix, few)) << name;
    }
  }
}

TEST(LinearPairsTest, OddActivationsStayInTheirRow) {
  std::mt19937 random(24);
  const RandomMatrix weight = make_random_matrix(DType::kQ4_1, 40, 256, random);
  std::vector<float> x = make_random_activations(40, 256, random);
  const float full_nan = __builtin_bit_cast(float, 0x7fffffffu);  // whose bits overflow where they are rounded
  for (const auto& [name, pairs, invariant] : pair_kernels()) {
    const std::vector<float> plain = multiply(pairs, 1, weight.matrix, x);
    for (const float odd : {std::numeric_limits<float>::quiet_NaN(), full_nan, -full_nan, std::numeric_limits<float>::infinity()}) {
      std::vector<float> changed = x;
      changed[17 * 256 + 5] = odd;
      const std::vector<float> out = multiply(pairs, 1, weight.matrix, changed);
      for (size_t i = 0; i < out.size(); ++i) {
        if (i / 40 == 17) EXPECT_FALSE(std::isfinite(out[i])) << name;
        else EXPECT_EQ(out[i], plain[i]) << name << ", row " << i / 40;
      }
    }
  }
}

TEST(LinearPairsTest, WeightsThatAreNoNumbersStayNone) {
  std::mt19937 random(26);
  const std::vector<float> x = make_random_activations(20, 64, random);
  for (const DType dtype : {DType::kF16, DType::kQ4_1, DType::kQ8_0}) {
    RandomMatrix weight = make_random_matrix(dtype, 20, 64, random);
    std::memset(weight.bytes.data() + 3 * weight.matrix.row_bytes, 0xff, 1);  // row 3's first value or scale: 0x7fff
    std::memset(weight.bytes.data() + 3 * weight.matrix.row_bytes + 1, 0x7f, 1);
    for (const auto& [name, pairs, invariant] : pair_kernels()) {
      const std::vector<float> out = multiply(pairs, 1, weight.matrix, x);
      for (size_t i = 0; i < out.size(); ++i) EXPECT_EQ(std::isnan(out[i]), i % 20 == 3) << name << ", " << dtype_info(dtype).name;
    }
  }
}

}  // namespace
}  // namespace terrace
