#include "tests/support/kernels/random_weights.h"

#include <cstring>

#include "kernels/base/half.h"

namespace terrace::testing {
namespace {

void put_f16(std::byte* at, float value) {
  const uint16_t half = float_to_f16(value);
  std::memcpy(at, &half, sizeof half);
}

/// Gives a block of random bytes ordinary scales: its other bytes may stay as they are.
void fix_scales(DType dtype, std::byte* block, std::mt19937& random) {
  std::uniform_real_distribution<float> scale(0.001f, 0.02f);
  const auto random_scale = [&] { return random() % 8 == 0 ? -scale(random) : scale(random); };
  switch (dtype) {
    case DType::kQ4_1:
    case DType::kQ5_1:
      put_f16(block, random_scale());
      put_f16(block + 2, -8 * random_scale());
      break;
    case DType::kQ4_K:
    case DType::kQ5_K:
      put_f16(block, random_scale() / 32);
      put_f16(block + 2, random_scale() / 8);
      break;
    case DType::kQ6_K: put_f16(block + 208, random_scale() / 64); break;
    default: put_f16(block, random_scale()); break;
  }
}

}  // namespace

RandomMatrix make_random_matrix(DType dtype, int64_t rows, int64_t cols, std::mt19937& random) {
  const DTypeInfo& info = dtype_info(dtype);
  RandomMatrix result;
  const size_t row_bytes = dtype_bytes(dtype, cols);
  result.bytes.resize(static_cast<size_t>(rows) * row_bytes);
  std::normal_distribution<float> normal(0, 0.1f);
  for (size_t at = 0; at < result.bytes.size(); at += info.block_bytes) {
    std::byte* block = result.bytes.data() + at;
    if (dtype == DType::kF32) {
      const float value = normal(random);
      std::memcpy(block, &value, sizeof value);
    } else if (dtype == DType::kBF16) {
      const uint16_t value = float_to_bf16(normal(random));
      std::memcpy(block, &value, sizeof value);
    } else if (dtype == DType::kF16) {
      put_f16(block, normal(random));
    } else {
      for (uint32_t i = 0; i < info.block_bytes; ++i) block[i] = static_cast<std::byte>(random());
      fix_scales(dtype, block, random);
    }
  }
  result.matrix = {.dtype = dtype, .rows = rows, .cols = cols, .data = result.bytes.data(), .row_bytes = row_bytes};
  return result;
}

HostMatrix columns_of(HostMatrix matrix, int64_t first, int64_t count) {
  matrix.first_col += first;
  matrix.cols = count;
  return matrix;
}

std::vector<float> make_random_activations(int64_t rows, int64_t cols, std::mt19937& random) {
  std::normal_distribution<float> normal;
  std::vector<float> values(static_cast<size_t>(rows * cols));
  for (float& value : values) value = normal(random) * (random() % 64 == 0 ? 20.0f : 1.0f);
  return values;
}

}  // namespace terrace::testing
