// Linear layers on every backend, against double: the error bound, LAW 4, slices and shapes that fit no tile.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <span>

#include "kernels/base/error.h"
#include "kernels/quant_block.h"
#include "tests/support/kernels/backend_list.h"
#include "tests/support/kernels/random_matrix.h"
#include "tests/support/kernels/random_weights.h"

namespace terrace {
namespace {

using testing::columns_of;
using testing::kAllDTypes;
using testing::make_random_activations;
using testing::make_random_matrix;
using testing::RandomMatrix;

constexpr float kUntouched = -77.5f;

class LinearOpTest : public BackendTest {
 protected:
  bool invariant() const { return GetParam().backend == "cpu" || GetParam().options.numerics == Numerics::kInvariant; }

  /// x * matrix^T + bias, [rows, outputs]; fails if anything around the output is written.
  std::vector<float> multiply(const Weight& weight, const std::vector<float>& x, const std::vector<float>& bias = {}) {
    const int64_t rows = static_cast<int64_t>(x.size()) / weight.cols();
    TestMatrix input(*backend_, rows, weight.cols(), 4);
    input.set(x);
    TestMatrix around(*backend_, rows + 1, weight.rows() + 5);
    around.set(std::vector<float>(static_cast<size_t>((rows + 1) * (weight.rows() + 5)), kUntouched));
    const Buffer biases = backend_->upload(bias);
    const LinearOutput output = {&weight, around.view().columns(2, weight.rows()).top(rows),
                                 bias.empty() ? nullptr : reinterpret_cast<const float*>(biases.data())};
    backend_->linear(input.view(), {&output, 1});
    return inner(around.get(*backend_), rows, weight.rows());
  }

  std::vector<float> multiply(const HostMatrix& matrix, const std::vector<float>& x, bool fine = false) {
    return multiply(*backend_->pack_linear(matrix, {.fine_activations = fine}), x);
  }

 private:
  static std::vector<float> inner(const std::vector<float>& around, int64_t rows, int64_t outputs) {
    std::vector<float> values;
    for (int64_t i = 0; i < rows + 1; ++i) {
      for (int64_t j = 0; j < outputs + 5; ++j) {
        const float value = around[static_cast<size_t>(i * (outputs + 5) + j)];
        if (i < rows && j >= 2 && j < outputs + 2) {
          values.push_back(value);
        } else {
          EXPECT_EQ(value, kUntouched) << "written outside the output, at row " << i << ", column " << j - 2;
        }
      }
    }
    return values;
  }
};
INSTANTIATE_TEST_SUITE_P(Backends, LinearOpTest, ::testing::ValuesIn(backend_cases()), backend_case_name);

/// One output's weights, and how large the parts are that they are summed from: |scale * code| + |min|.
struct WeightRow {
  std::vector<float> values, parts;

  WeightRow(const HostMatrix& matrix, int64_t output) : values(static_cast<size_t>(matrix.cols)), parts(values.size()) {
    const std::byte* row = matrix.data + static_cast<size_t>(output) * matrix.row_bytes;
    dequantize_row(matrix.dtype, row, matrix.first_col, matrix.cols, values.data());
    const QuantFormat format = quant_format(matrix.dtype);
    for (size_t i = 0; i < values.size(); ++i) parts[i] = std::fabs(values[i]);
    if (format.code_bits == 0) return;
    for (int64_t col = 0; col < matrix.cols; col += format.group_columns) {
      const QuantGroup group = read_group(matrix.dtype, row, matrix.first_col + col);
      for (int i = 0; i < format.group_columns; ++i) {
        parts[static_cast<size_t>(col + i)] = std::fabs(group.scale * static_cast<float>(group.codes[i] + format.offset)) + std::fabs(group.min);
      }
    }
  }
};

/// The largest error that an output may have: the rounding of x (and, in 16-bit products, perhaps of the weights), and of float sums.
double error_bound(const WeightRow& weight, const float* x, const BackendCase& backend, bool exact_x) {
  double bound = 0, parts = 0;
  for (size_t first = 0; first < weight.values.size(); first += 32) {
    const size_t end = std::min(first + 32, weight.values.size());
    double largest = 0, sum = 0, products = 0;
    for (size_t i = first; i < end; ++i) {
      largest = std::max(largest, std::fabs(static_cast<double>(x[i])));
      sum += std::fabs(weight.values[i]);
      products += std::fabs(static_cast<double>(weight.values[i]) * x[i]);
      parts += std::fabs(static_cast<double>(weight.parts[i]) * x[i]);
    }
    if (backend.half_products) {
      bound += 2.001 * 0x1p-11 * products;  // f16 x and f16 weights
    } else if (!exact_x) {
      bound += sum * largest / 127 * 0.5001;
      parts += sum * largest;
    }
  }
  const double terms = static_cast<double>(weight.values.size());  // of a sum; scale, min and codes are rounded apart
  const double rounding = std::numeric_limits<float>::epsilon();
  // min * (sum of x): x's rounding reaches it whole, however code and min cancel.
  return bound + (backend.half_products ? 1.001 * 0x1p-11 + (32 + terms / 8) * rounding : (16 + terms) * rounding) * parts;
}

void expect_near_reference(const BackendCase& backend, const HostMatrix& matrix, const std::vector<float>& x, const std::vector<float>& out) {
  const size_t cols = static_cast<size_t>(matrix.cols), outputs = static_cast<size_t>(matrix.rows);
  for (size_t j = 0; j < outputs; ++j) {
    const WeightRow weight(matrix, static_cast<int64_t>(j));
    for (size_t i = 0; i < x.size() / cols; ++i) {
      double expected = 0;
      for (size_t c = 0; c < cols; ++c) expected += static_cast<double>(weight.values[c]) * x[i * cols + c];
      const double bound = error_bound(weight, &x[i * cols], backend, quant_format(matrix.dtype).code_bits == 0);
      ASSERT_NEAR(out[i * outputs + j], expected, bound) << "row " << i << ", output " << j;
    }
  }
}

std::vector<float> row_of(const std::vector<float>& values, size_t row, size_t cols) {
  return {values.begin() + static_cast<std::ptrdiff_t>(row * cols), values.begin() + static_cast<std::ptrdiff_t>((row + 1) * cols)};
}

TEST_P(LinearOpTest, StaysWithinTheErrorBoundOfTheExactProduct) {
  struct Shape {
    int64_t rows, first_col, cols, outputs;
  };
  constexpr Shape kShapes[] = {{1, 32, 96, 19}, {3, 0, 512, 24}, {8, 256, 160, 1}, {9, 0, 512, 70}, {17, 64, 192, 33}, {40, 0, 512, 9}, {70, 0, 256, 20}};
  std::mt19937 random(1);
  for (const DType dtype : kAllDTypes) {
    for (const Shape& shape : kShapes) {
      const RandomMatrix weight = make_random_matrix(dtype, shape.outputs, 512, random);
      const HostMatrix slice = columns_of(weight.matrix, shape.first_col, shape.cols);
      const std::vector<float> x = make_random_activations(shape.rows, shape.cols, random);
      SCOPED_TRACE(std::string(dtype_info(dtype).name) + ", rows " + std::to_string(shape.rows) + ", columns " + std::to_string(shape.cols));
      expect_near_reference(GetParam(), slice, x, multiply(slice, x));
    }
  }
}

TEST_P(LinearOpTest, TheSmallestSlicesAndOddFloatColumns) {
  std::mt19937 random(2);
  for (const DType dtype : kAllDTypes) {
    const bool quantised = quant_format(dtype).code_bits != 0;
    const int64_t cols = quantised ? quant_format(dtype).group_columns : 21;
    const RandomMatrix weight = make_random_matrix(dtype, 17, 256, random);
    const HostMatrix slice = columns_of(weight.matrix, quantised ? 3 * cols : 5, cols);
    const std::vector<float> x = make_random_activations(2, cols, random);
    SCOPED_TRACE(dtype_info(dtype).name);
    expect_near_reference(GetParam(), slice, x, multiply(slice, x));
  }
}

TEST_P(LinearOpTest, ARowDoesNotDependOnTheOthersNorOnTheirNumber) {
  if (!invariant()) GTEST_SKIP() << "only where numerics are invariant";
  // Each kind of packing that the CUDA backend has; more would take the simulator too long.
  constexpr DType kKinds[] = {DType::kBF16, DType::kQ4_1, DType::kQ5_K, DType::kQ6_K};
  std::mt19937 random(3);
  for (const DType dtype : GetParam().half_products ? std::span<const DType>(kKinds) : std::span<const DType>(kAllDTypes)) {
    // Once so many outputs that a device would cut the columns of few rows only.
    const size_t outputs = dtype == DType::kQ4_1 ? 140 : 37;
    const RandomMatrix matrix = make_random_matrix(dtype, static_cast<int64_t>(outputs), 512, random);
    const std::unique_ptr<Weight> weight = backend_->pack_linear(matrix.matrix, {});
    constexpr size_t kRows = 131, kCols = 512;
    const std::vector<float> x = make_random_activations(kRows, kCols, random);
    const std::vector<float> all = multiply(*weight, x);
    for (const size_t rows : {2u, 16u, 17u, 65u}) {
      const std::vector<float> some = multiply(*weight, {x.begin(), x.begin() + static_cast<std::ptrdiff_t>(rows * kCols)});
      EXPECT_TRUE(same_bits(some, {all.begin(), all.begin() + static_cast<std::ptrdiff_t>(rows * outputs)}))
          << dtype_info(dtype).name << ", the first " << rows << " rows";
    }
    for (const size_t row : {7u, 66u, 130u}) {
      EXPECT_TRUE(same_bits(multiply(*weight, row_of(x, row, kCols)), row_of(all, row, outputs))) << dtype_info(dtype).name << ", row " << row << " alone";
    }
  }
}

TEST_P(LinearOpTest, BiasIsAddedToEveryRow) {
  std::mt19937 random(4);
  for (const DType dtype : {DType::kQ4_1, DType::kF16}) {
    for (const int64_t rows : {1, 20, 80}) {
      const RandomMatrix matrix = make_random_matrix(dtype, 21, 64, random);
      const std::unique_ptr<Weight> weight = backend_->pack_linear(columns_of(matrix.matrix, 0, 64), {});
      const std::vector<float> x = make_random_activations(rows, 64, random), bias = make_random_activations(1, 21, random);
      const std::vector<float> plain = multiply(*weight, x), out = multiply(*weight, x, bias);
      for (size_t i = 0; i < out.size(); ++i) ASSERT_NEAR(out[i], plain[i] + bias[i % 21], 1e-6 * (std::fabs(plain[i]) + std::fabs(bias[i % 21])));
    }
  }
}

TEST_P(LinearOpTest, OutputsOfOneCallMayDifferInFormatAndPrecision) {
  std::mt19937 random(5);
  struct Part {
    DType dtype;
    int64_t outputs;
    bool fine;
  };
  // Also more neighbours of one packing than a launch takes, and two that differ in their codes' offset alone.
  constexpr Part kParts[] = {{DType::kQ4_1, 21, false}, {DType::kQ4_1, 5, false}, {DType::kQ4_1, 40, true}, {DType::kQ4_1, 16, false}, {DType::kQ8_0, 9, true},
                             {DType::kQ5_0, 17, false}, {DType::kF32, 21, false}, {DType::kQ4_K, 18, true}, {DType::kQ6_K, 33, false}};
  for (const int64_t rows : {2, 30, 66}) {
    const std::vector<float> x = make_random_activations(rows, 256, random);
    TestMatrix input(*backend_, rows, 256);
    input.set(x);
    std::vector<RandomMatrix> matrices;
    std::vector<std::unique_ptr<Weight>> weights;
    std::vector<TestMatrix> results;
    std::vector<LinearOutput> outputs;
    for (const Part& part : kParts) {
      matrices.push_back(make_random_matrix(part.dtype, part.outputs, 256, random));
      weights.push_back(backend_->pack_linear(matrices.back().matrix, {.fine_activations = part.fine}));
      results.emplace_back(*backend_, rows, part.outputs);
      outputs.push_back({weights.back().get(), results.back().view(), nullptr});
    }
    backend_->linear(input.view(), outputs);
    for (size_t i = 0; i < outputs.size(); ++i) {
      EXPECT_TRUE(same_bits(results[i].get(*backend_), multiply(*weights[i], x))) << "output " << i << ", rows " << rows;
    }
  }
}

TEST_P(LinearOpTest, OddActivationsStayInTheirRow) {
  std::mt19937 random(6);
  const RandomMatrix matrix = make_random_matrix(DType::kQ4_1, 18, 64, random);
  const std::unique_ptr<Weight> weight = backend_->pack_linear(matrix.matrix, {});
  for (const float odd : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity()}) {
    std::vector<float> x = make_random_activations(3, 64, random);
    const std::vector<float> plain = multiply(*weight, x);
    x[64 + 40] = odd;
    const std::vector<float> out = multiply(*weight, x);
    EXPECT_TRUE(same_bits(row_of(out, 0, 18), row_of(plain, 0, 18)));
    EXPECT_TRUE(same_bits(row_of(out, 2, 18), row_of(plain, 2, 18)));
    for (const float value : row_of(out, 1, 18)) EXPECT_FALSE(std::isfinite(value));
  }
}

TEST_P(LinearOpTest, HugeAndTinyActivationsNeitherOverflowNorVanish) {
  std::mt19937 random(7);
  const RandomMatrix matrix = make_random_matrix(DType::kQ8_0, 18, 64, random);
  const std::unique_ptr<Weight> weight = backend_->pack_linear(matrix.matrix, {});
  const std::vector<float> one = multiply(*weight, std::vector<float>(64, 1.0f));
  const double bound = GetParam().half_products ? 64 * 0.02 * 128 * 0x1p-11 : 1e-3;  // the weights' rounding; they are at most 0.02 * 128
  for (const int64_t rows : {1, 20, 70}) {
    for (const float size : {0x1p100f, 0x1p-60f}) {
      const std::vector<float> out = multiply(*weight, std::vector<float>(static_cast<size_t>(rows) * 64, size));
      for (size_t i = 0; i < out.size(); ++i) ASSERT_NEAR(out[i] / size, one[i % 18], bound) << size;
    }
    for (const float value : multiply(*weight, std::vector<float>(static_cast<size_t>(rows) * 64, 0.0f))) ASSERT_EQ(value, 0.0f);
  }
}

TEST_P(LinearOpTest, TheWeightsBytesAreKnownBeforehand) {
  std::mt19937 random(8);
  for (const DType dtype : kAllDTypes) {
    const RandomMatrix matrix = make_random_matrix(dtype, 19, 256, random);
    const HostMatrix slice = columns_of(matrix.matrix, 96, 96);
    for (const bool fine : {false, true}) {
      const PackOptions options = {.fine_activations = fine};
      EXPECT_EQ(backend_->packed_bytes(dtype, 19, 96, options), backend_->pack_linear(slice, options)->bytes()) << dtype_info(dtype).name;
    }
  }
}

TEST_P(LinearOpTest, RefusesSlicesThatCutAScaleGroup) {
  std::mt19937 random(9);
  const RandomMatrix matrix = make_random_matrix(DType::kQ4_1, 4, 64, random);
  EXPECT_THROW(backend_->pack_linear(columns_of(matrix.matrix, 16, 32), {}), Error);
  EXPECT_THROW(backend_->pack_linear(columns_of(matrix.matrix, 0, 40), {}), Error);
}

}  // namespace
}  // namespace terrace
