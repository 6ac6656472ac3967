// The multiplication of tiles of plain floats, and the choice among all kernels of an ISA; V as in linear_tile.h.
// The arithmetic: acc = fma(w, x, acc), column by column; the bias is added last.
#pragma once

#include "kernels/cpu/linear_tile.h"

namespace terrace {

/// Calls multiply<kRows>(first_row) over all rows in passes of like size, of kMost at most.
template <int kMost, class Multiply>
void in_passes(int64_t num_rows, Multiply multiply) {
  static_assert(kMost <= 4);
  int64_t passes = (num_rows + kMost - 1) / kMost;
  for (int64_t row = 0; row < num_rows; --passes) {
    const int64_t rows = (num_rows - row + passes - 1) / passes;
    switch (rows) {
      case 1: multiply.template operator()<1>(row); break;
      case 2: multiply.template operator()<(kMost >= 2 ? 2 : 1)>(row); break;
      case 3: multiply.template operator()<(kMost >= 3 ? 3 : 1)>(row); break;
      case 4: multiply.template operator()<(kMost >= 4 ? 4 : 1)>(row); break;
      default: break;
    }
    row += rows;
  }
}

template <class V, DType kDType>
typename V::Floats load_weights(const uint8_t* from) {
  if constexpr (kDType == DType::kF32) return V::load_floats(from);
  else if constexpr (kDType == DType::kF16) return V::load_f16(from);
  else return V::load_bf16(from);
}

template <class V, DType kDType, int kRows, int kTiles>
void multiply_float_rows(const LinearTask& task, int64_t tile, int64_t row) {
  constexpr int kColumnBytes = V::kLanes * (kDType == DType::kF32 ? 4 : 2);
  typename V::Floats acc[kTiles * kRows];
#pragma GCC unroll 16
  for (int i = 0; i < kTiles * kRows; ++i) acc[i] = V::zero();
  const uint8_t* weights = task.tiles + static_cast<size_t>(tile) * task.tile_bytes;
  const uint8_t* x = task.x + static_cast<size_t>(row) * task.x_row_bytes;
  for (int64_t col = 0; col < task.num_blocks; ++col, weights += kColumnBytes, x += sizeof(float)) {
    typename V::Floats x_value[kRows];
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      x_value[r] = V::broadcast(reinterpret_cast<const float*>(x + static_cast<size_t>(r) * task.x_row_bytes));
    }
#pragma GCC unroll 8
    for (int t = 0; t < kTiles; ++t) {
      const typename V::Floats weight = load_weights<V, kDType>(weights + static_cast<size_t>(t) * task.tile_bytes);
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) acc[t * kRows + r] = V::fma(weight, x_value[r], acc[t * kRows + r]);
    }
  }
  typename V::Floats result[kTiles * kRows];  // apart from acc, which stays in registers
#pragma GCC unroll 16
  for (int i = 0; i < kTiles * kRows; ++i) result[i] = acc[i];
  for (int t = 0; t < kTiles; ++t) {
    for (int r = 0; r < kRows; ++r) store_results<V>(task, tile + t, row + r, result[t * kRows + r]);
  }
}

/// Four tiles at a time: one chain of fma a row would leave the units idle.
template <class V, DType kDType>
void multiply_floats(const LinearTask& task) {
  constexpr int kMost = V::kMostRows < 3 ? V::kMostRows : 3;  // 4 tiles by 3 rows fill 12 of 16 registers
  int64_t tile = 0;
  for (; tile + 4 <= task.num_tiles; tile += 4) {
    in_passes<kMost>(task.num_rows, [&]<int kRows>(int64_t row) { multiply_float_rows<V, kDType, kRows, 4>(task, tile, row); });
  }
  for (; tile < task.num_tiles; ++tile) {
    in_passes<kMost>(task.num_rows, [&]<int kRows>(int64_t row) { multiply_float_rows<V, kDType, kRows, 1>(task, tile, row); });
  }
}

/// LinearKernels::multiply of V.
template <class V>
MultiplyFunction choose_multiply(DType dtype, bool fine) {
  return for_dtype(dtype, [fine](auto type) -> MultiplyFunction {
    if constexpr (quant_format(type.value).code_bits == 0) return &multiply_floats<V, type.value>;
    else return choose_quantized<V, type.value>(fine);
  });
}

}  // namespace terrace
