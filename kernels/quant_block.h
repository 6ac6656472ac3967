// The quantisation blocks of GGUF files (layouts: ggml-org/ggml, src/ggml-common.h and ggml-quants.c), read as runs of columns
// that share one scale: value = scale * (code + offset) + min. Pure functions, any thread. Does not write these formats.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/base/dtype.h"

namespace terrace {

/// How a quantised dtype's values are made of codes.
struct QuantFormat {
  int code_bits = 0;          // codes are unsigned: 0 .. 2^code_bits - 1
  int offset = 0;             // added to each code
  int group_columns = 32;     // columns that share a scale (and a min)
  bool has_min = false;
  bool f16_scales = false;    // scale and min are exact in f16; else in float

  bool operator==(const QuantFormat&) const = default;
};

/// code_bits is 0 for F32, F16 and BF16.
constexpr QuantFormat quant_format(DType dtype) {
  switch (dtype) {
    case DType::kQ4_0: return {.code_bits = 4, .offset = -8, .f16_scales = true};
    case DType::kQ4_1: return {.code_bits = 4, .has_min = true, .f16_scales = true};
    case DType::kQ5_0: return {.code_bits = 5, .offset = -16, .f16_scales = true};
    case DType::kQ5_1: return {.code_bits = 5, .has_min = true, .f16_scales = true};
    case DType::kQ8_0: return {.code_bits = 8, .offset = -128, .f16_scales = true};
    case DType::kQ4_K: return {.code_bits = 4, .has_min = true};
    case DType::kQ5_K: return {.code_bits = 5, .has_min = true};
    case DType::kQ6_K: return {.code_bits = 6, .offset = -32, .group_columns = 16};
    case DType::kF32:
    case DType::kF16:
    case DType::kBF16: break;
  }
  return {};
}

/// group_columns consecutive values.
struct QuantGroup {
  uint8_t codes[32] = {};
  float scale = 0;
  float min = 0;  // 0 without has_min
};

/// The group of a row that begins at column `first_col`, a multiple of the format's group_columns. `row` is the row's column 0.
QuantGroup read_group(DType dtype, const std::byte* row, int64_t first_col);

/// Columns [first_col, first_col + count) of a row as floats. Quantised dtypes: both are multiples of group_columns.
void dequantize_row(DType dtype, const std::byte* row, int64_t first_col, int64_t count, float* out);

}  // namespace terrace
