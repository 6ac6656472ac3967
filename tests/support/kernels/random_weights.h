// Matrices for tests of the linear kernels: every code value that a file may hold, with scales of ordinary size.
#pragma once

#include <random>
#include <vector>

#include "kernels/base/tensor.h"

namespace terrace::testing {

/// Every dtype that a weight may have.
inline constexpr DType kAllDTypes[] = {DType::kF32,  DType::kF16,  DType::kBF16, DType::kQ4_0, DType::kQ4_1, DType::kQ5_0,
                                DType::kQ5_1, DType::kQ8_0, DType::kQ4_K, DType::kQ5_K, DType::kQ6_K};

struct RandomMatrix {
  std::vector<std::byte> bytes;
  HostMatrix matrix;  // refers to bytes
};

/// Whole rows of `cols` columns, a multiple of the dtype's block.
RandomMatrix make_random_matrix(DType dtype, int64_t rows, int64_t cols, std::mt19937& random);

/// Columns [first, first + count) of a matrix.
HostMatrix columns_of(HostMatrix matrix, int64_t first, int64_t count);

/// [rows, cols] roughly normal activations with a few outliers.
std::vector<float> make_random_activations(int64_t rows, int64_t cols, std::mt19937& random);

}  // namespace terrace::testing
