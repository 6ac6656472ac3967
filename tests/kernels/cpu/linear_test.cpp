#include "kernels/cpu/linear.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/base/error.h"
#include "kernels/quant_block.h"
#include "tests/support/kernels/emulated_avx512.h"
#include "tests/support/kernels/random_weights.h"

namespace terrace {
namespace {

using testing::columns_of;
using testing::kAllDTypes;
using testing::make_random_activations;
using testing::make_random_matrix;
using testing::RandomMatrix;

const LinearKernels& best_kernels() { return linear_kernels(choose_isa("")); }

struct NamedKernels {
  std::string name;
  const LinearKernels& kernels;
};

/// Those that this machine can run, AVX-512's by emulation too.
std::vector<NamedKernels> all_kernels() {
  std::vector<NamedKernels> all = {{"scalar", scalar_linear_kernels()}};
  if (detect_isa() >= Isa::kAvx2) {
    all.push_back({"avx2", avx2_linear_kernels()});
    all.push_back({"emulated avx512", emulated_avx512_linear_kernels()});
    all.push_back({"emulated vnni", emulated_vnni_linear_kernels()});
    all.push_back({"emulated amx", emulated_amx_linear_kernels()});
  }
  if (detect_isa() >= Isa::kAvx512) all.push_back({"avx512", avx512_linear_kernels()});
  if (detect_isa() >= Isa::kVnni) all.push_back({"vnni", vnni_linear_kernels()});
  if (detect_isa() >= Isa::kAmx) all.push_back({"amx", amx_linear_kernels()});
  return all;
}

std::string name_of(DType dtype, bool fine) { return std::string(dtype_info(dtype).name) + (fine ? " fine" : ""); }

MatrixView view(std::vector<float>& values, int64_t rows) {
  const int64_t cols = static_cast<int64_t>(values.size()) / rows;
  return {values.data(), rows, cols, cols};
}

struct Setup {
  const LinearKernels& kernels = best_kernels();
  int num_threads = 1;
  bool fine = false;
};

std::vector<float> multiply(const Setup& setup, const HostMatrix& matrix, std::vector<float> x, const float* bias = nullptr) {
  ThreadPool pool(setup.num_threads);
  LinearOps linear(setup.kernels, pool);
  const std::unique_ptr<Weight> weight = linear.pack(matrix, {.fine_activations = setup.fine});
  const int64_t rows = static_cast<int64_t>(x.size()) / matrix.cols;
  std::vector<float> out(static_cast<size_t>(rows * matrix.rows), -1.0f);
  const LinearOutput output = {weight.get(), view(out, rows), bias};
  linear.run(view(x, rows), {&output, 1});
  return out;
}

/// The largest error that an output may have: half a code step of x for each weight, and float rounding of every product and sum.
double error_bound(const std::vector<float>& weights, const float* x, bool exact_x, bool fine) {
  double bound = 0;
  for (size_t first = 0; first < weights.size(); first += 32) {
    const size_t end = std::min(first + 32, weights.size());
    double largest = 0;
    double sum = 0;
    double products = 0;
    for (size_t i = first; i < end; ++i) {
      largest = std::max(largest, std::fabs(static_cast<double>(x[i])));
      sum += std::fabs(weights[i]);
      products += std::fabs(static_cast<double>(weights[i]) * x[i]);
    }
    if (!exact_x) bound += sum * largest / (fine ? 32639 : 127) * 0.5001;
    // Min and scaled codes are rounded apart from one another: 16 covers their cancelling.
    bound += 16 * std::numeric_limits<float>::epsilon() * static_cast<double>(weights.size()) * (products + sum * largest);
  }
  return bound;
}

void expect_near_reference(const HostMatrix& matrix, const std::vector<float>& x, const std::vector<float>& out, bool fine) {
  const size_t cols = static_cast<size_t>(matrix.cols);
  const size_t num_rows = x.size() / cols;
  std::vector<float> weights(cols);
  for (int64_t j = 0; j < matrix.rows; ++j) {
    const std::byte* row = matrix.data + static_cast<size_t>(j) * matrix.row_bytes;
    dequantize_row(matrix.dtype, row, matrix.first_col, matrix.cols, weights.data());
    for (size_t i = 0; i < num_rows; ++i) {
      double expected = 0;
      for (size_t c = 0; c < cols; ++c) expected += static_cast<double>(weights[c]) * x[i * cols + c];
      const double bound = error_bound(weights, &x[i * cols], quant_format(matrix.dtype).code_bits == 0, fine);
      ASSERT_NEAR(out[i * static_cast<size_t>(matrix.rows) + static_cast<size_t>(j)], expected, bound) << "row " << i << ", output " << j;
    }
  }
}

TEST(LinearTest, StaysWithinTheErrorBoundOfTheExactProduct) {
  std::mt19937 random(1);
  for (const DType dtype : kAllDTypes) {
    for (const bool fine : {false, true}) {
      for (const int64_t num_rows : {1, 2, 3, 5, 8, 17, 33}) {
        const int64_t outputs = num_rows % 2 == 0 ? 24 : 19;
        const RandomMatrix weight = make_random_matrix(dtype, outputs, 512, random);
        const std::vector<float> x = make_random_activations(num_rows, 512, random);
        SCOPED_TRACE(name_of(dtype, fine) + ", rows " + std::to_string(num_rows));
        expect_near_reference(weight.matrix, x, multiply({best_kernels(), 1, fine}, weight.matrix, x), fine);
      }
    }
  }
}

TEST(LinearTest, EveryIsaGivesTheSameBits) {
  std::mt19937 random(2);
  for (const DType dtype : kAllDTypes) {
    for (const bool fine : {false, true}) {
      for (const int64_t num_rows : {1, 4, 6, 7}) {
        const RandomMatrix weight = make_random_matrix(dtype, 37, 768, random);
        const std::vector<float> x = make_random_activations(num_rows, 768, random);
        const std::vector<float> bias = make_random_activations(1, 37, random);
        const std::vector<float> expected = multiply({scalar_linear_kernels(), 1, fine}, weight.matrix, x, bias.data());
        for (const auto& [name, kernels] : all_kernels()) {
          const std::vector<float> out = multiply({kernels, 1, fine}, weight.matrix, x, bias.data());
          EXPECT_EQ(out, expected) << name_of(dtype, fine) << " on " << name;
        }
      }
    }
  }
}

TEST(LinearTest, ARowDoesNotDependOnTheOthersNorOnThreads) {
  std::mt19937 random(3);
  for (const DType dtype : kAllDTypes) {
    const RandomMatrix weight = make_random_matrix(dtype, 83, 256, random);
    const std::vector<float> x = make_random_activations(11, 256, random);
    const std::vector<float> batch = multiply({best_kernels(), 1, false}, weight.matrix, x);
    for (const int num_threads : {2, 3}) {
      EXPECT_EQ(multiply({best_kernels(), num_threads, false}, weight.matrix, x), batch) << name_of(dtype, false);
    }
    for (int64_t row = 0; row < 11; ++row) {
      const std::vector<float> alone = multiply({best_kernels(), 1, false}, weight.matrix, {&x[static_cast<size_t>(row) * 256], &x[static_cast<size_t>(row) * 256] + 256});
      EXPECT_EQ(0, std::memcmp(alone.data(), &batch[static_cast<size_t>(row) * 83], 83 * sizeof(float))) << name_of(dtype, false);
    }
  }
}

// AMX takes 16 rows at a time, the rest and the unpacked codes in pieces of its own.
TEST(LinearTest, AnyNumberOfRowsGivesEqualBitsOnEveryIsa) {
  struct Case {
    DType dtype;
    int64_t rows, cols;
  };
  std::vector<Case> cases = {{DType::kQ4_1, 145, 2304}, {DType::kQ6_K, 33, 2304}, {DType::kQ4_1, 33, 2080}, {DType::kQ5_0, 16, 96}};
  for (const DType dtype : kAllDTypes) {
    for (const int64_t rows : {6, 16, 23}) cases.push_back({dtype, rows, 256});
  }
  std::mt19937 random(14);
  for (const Case& c : cases) {
    const RandomMatrix weight = make_random_matrix(c.dtype, 19, c.cols, random);
    const std::vector<float> x = make_random_activations(c.rows, c.cols, random);
    for (const bool fine : {false, true}) {
      const std::vector<float> out = multiply({scalar_linear_kernels(), 1, fine}, weight.matrix, x);
      for (const auto& [name, kernels] : all_kernels()) {
        EXPECT_EQ(out, multiply({kernels, 1, fine}, weight.matrix, x)) << name << ", " << name_of(c.dtype, fine) << ", " << c.rows << " rows";
      }
    }
  }
}

TEST(LinearTest, LongBatchesAreCutIntoPanelsWithoutATrace) {
  std::mt19937 random(4);
  const RandomMatrix weight = make_random_matrix(DType::kQ4_1, 40, 1536, random);
  const std::vector<float> x = make_random_activations(301, 1536, random);
  const std::vector<float> out = multiply({best_kernels(), 2, false}, weight.matrix, x);
  for (const size_t row : {0u, 60u, 61u, 63u, 64u, 128u, 300u}) {
    const std::vector<float> alone = multiply({best_kernels(), 1, false}, weight.matrix, {&x[row * 1536], &x[row * 1536] + 1536});
    EXPECT_EQ(0, std::memcmp(alone.data(), &out[row * 40], 40 * sizeof(float))) << "row " << row;
  }
}

TEST(LinearTest, ColumnSlicesMeanTheirOwnColumns) {
  std::mt19937 random(5);
  for (const DType dtype : kAllDTypes) {
    const int64_t group = dtype == DType::kQ6_K ? 16 : quant_format(dtype).code_bits == 0 ? 3 : 32;
    const RandomMatrix weight = make_random_matrix(dtype, 9, 768, random);
    for (const auto& [first, count] : {std::pair{group, 3 * group}, {10 * group, 7 * group}, {0 * group, group}}) {
      const HostMatrix slice = columns_of(weight.matrix, first, count);
      const std::vector<float> x = make_random_activations(5, count, random);
      SCOPED_TRACE(name_of(dtype, true) + ", columns " + std::to_string(first) + " + " + std::to_string(count));
      const std::vector<float> out = multiply({best_kernels(), 1, true}, slice, x);
      expect_near_reference(slice, x, out, true);
      EXPECT_EQ(out, multiply({scalar_linear_kernels(), 1, true}, slice, x));
    }
  }
}

TEST(LinearTest, OutputsOfOneCallMayDifferInFormatAndPrecision) {
  std::mt19937 random(6);
  ThreadPool pool(2);
  LinearOps linear(best_kernels(), pool);
  std::vector<float> x = make_random_activations(6, 256, random);
  struct Part {
    DType dtype;
    bool fine;
  };
  constexpr Part kParts[] = {{DType::kQ4_1, false}, {DType::kQ8_0, true}, {DType::kF32, false}, {DType::kQ4_1, true}, {DType::kQ6_K, false}};
  std::vector<RandomMatrix> matrices;
  std::vector<std::unique_ptr<Weight>> weights;
  std::vector<std::vector<float>> results;
  for (const Part& part : kParts) {
    matrices.push_back(make_random_matrix(part.dtype, 21, 256, random));
    weights.push_back(linear.pack(matrices.back().matrix, {.fine_activations = part.fine}));
    results.emplace_back(6 * 21);
  }
  std::vector<LinearOutput> outputs;
  for (size_t i = 0; i < weights.size(); ++i) outputs.push_back({weights[i].get(), view(results[i], 6), nullptr});
  linear.run(view(x, 6), outputs);
  for (size_t i = 0; i < weights.size(); ++i) {
    EXPECT_EQ(results[i], multiply({best_kernels(), 1, kParts[i].fine}, matrices[i].matrix, x)) << "output " << i;
  }
}

TEST(LinearTest, ExtremeCodesDoNotSaturate) {
  for (const DType dtype : {DType::kQ8_0, DType::kQ4_0, DType::kQ4_1, DType::kQ5_0, DType::kQ5_1, DType::kQ4_K, DType::kQ5_K, DType::kQ6_K}) {
    std::mt19937 random(7);
    for (const int fill : {0x00, 0x80, 0xff, 0x7f}) {
      RandomMatrix weight = make_random_matrix(dtype, 8, 256, random);
      const DTypeInfo& info = dtype_info(dtype);
      // All code bytes alike; the last bytes of a block are codes in every format but Q6_K, whose scale ends it.
      const size_t end = dtype == DType::kQ6_K ? 192 : info.block_bytes;
      const size_t begin = dtype == DType::kQ6_K ? 0 : dtype == DType::kQ4_K || dtype == DType::kQ5_K ? 16 : info.block_elements == 32 && (dtype == DType::kQ4_1 || dtype == DType::kQ5_1) ? 4 : 2;
      for (size_t at = 0; at < weight.bytes.size(); at += info.block_bytes) {
        std::memset(weight.bytes.data() + at + begin, fill, end - begin);
      }
      for (const float sign : {1.0f, -1.0f}) {
        const std::vector<float> x(256, sign);
        for (const bool fine : {false, true}) {
          SCOPED_TRACE(name_of(dtype, fine) + ", bytes " + std::to_string(fill));
          const std::vector<float> out = multiply({scalar_linear_kernels(), 1, fine}, weight.matrix, x);
          expect_near_reference(weight.matrix, x, out, fine);
          for (const auto& [name, kernels] : all_kernels()) {
            EXPECT_EQ(out, multiply({kernels, 1, fine}, weight.matrix, x)) << name;
          }
        }
      }
    }
  }
}

TEST(LinearTest, OddActivationsCannotCrashAndStayInTheirRow) {
  std::mt19937 random(8);
  constexpr float kOdd[] = {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity()};
  for (const auto& [name, kernels] : all_kernels()) {
    SCOPED_TRACE(name);
    for (const bool fine : {false, true}) {
      const RandomMatrix weight = make_random_matrix(DType::kQ4_1, 16, 64, random);
      for (const float odd : kOdd) {
        std::vector<float> x = make_random_activations(3, 64, random);
        const std::vector<float> plain = multiply({kernels, 1, fine}, weight.matrix, x);
        x[64 + 40] = odd;
        const std::vector<float> out = multiply({kernels, 1, fine}, weight.matrix, x);
        for (size_t j = 0; j < 16; ++j) {
          EXPECT_EQ(out[j], plain[j]);
          EXPECT_TRUE(std::isnan(out[16 + j]));
          EXPECT_EQ(out[32 + j], plain[32 + j]);
        }
      }
      for (const float tiny : {0.0f, 1e-45f, 1e-38f, -1e-32f}) {
        EXPECT_EQ(multiply({kernels, 1, fine}, weight.matrix, std::vector<float>(64, tiny)), std::vector<float>(16, 0.0f));
      }
      for (const float value : multiply({kernels, 1, fine}, weight.matrix, std::vector<float>(64, 1e30f))) EXPECT_TRUE(std::isfinite(value));
    }
  }
}

TEST(LinearTest, RefusesSlicesThatCutAScaleGroup) {
  std::mt19937 random(9);
  const RandomMatrix weight = make_random_matrix(DType::kQ4_1, 4, 64, random);
  EXPECT_THROW(multiply({}, columns_of(weight.matrix, 16, 32), std::vector<float>(32)), Error);
  EXPECT_THROW(multiply({}, columns_of(weight.matrix, 0, 40), std::vector<float>(40)), Error);
}

}  // namespace
}  // namespace terrace
