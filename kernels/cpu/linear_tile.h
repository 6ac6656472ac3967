// The multiplication of packed tiles, written once for every ISA. V, the vector of an ISA, has one lane per output row of a tile; it
// must live in an anonymous namespace, so that each file's instances stay its own.
//
// The arithmetic is the contract of LAW 4; per output: acc = 0; for each block in column order, for each group of it,
//   acc = fma(float(isum), x.scale * scale, acc), isum the exact sum of (code + offset) * x.code,
// then, if the format has a min, acc = fma(min, x.scaled_sum, acc). Plain floats: acc = fma(w, x, acc), column by column.
// The bias is added last.
#pragma once

#include "kernels/cpu/linear_kernels.h"

namespace terrace {

template <class V, QuantFormat F>
constexpr CodeLayout code_layout(bool bytes_of_x) {
  if (F.code_bits == 8) return V::kByteDot && bytes_of_x ? CodeLayout::kQuads : CodeLayout::kPairs;
  return F.code_bits == 4 ? CodeLayout::kNibbles : CodeLayout::kQuads;
}

constexpr int log2_of(int value) { return value <= 1 ? 0 : 1 + log2_of(value / 2); }

constexpr bool is_bytes(const ByteBlock*) { return true; }
constexpr bool is_bytes(const void*) { return false; }

/// The codes of one block of a tile, one vector for each 4 columns.
template <class V, QuantFormat F, CodeLayout kLayout>
struct TileCodes {
  typename V::Bytes quads[8];

  explicit TileCodes(const uint8_t* block) {
#pragma GCC unroll 8
    for (int v = 0; v < 8; ++v) {
      if constexpr (kLayout == CodeLayout::kNibbles) {
        quads[v] = v < 4 ? V::low_nibbles(block + v * 4 * V::kLanes) : V::high_nibbles(block + (v - 4) * 4 * V::kLanes);
      } else {
        quads[v] = V::load_bytes(block + v * 4 * V::kLanes);
      }
    }
  }

  /// Sums of (code + offset) * x.code over the group's columns, one for each row of the tile.
  template <int kGroup>
  typename V::Ints sums(const ByteBlock& x) const {
    return add_offset<kGroup>(dot<kGroup>(x.codes), x);
  }
  template <int kGroup>
  typename V::Ints sums(const PlaneBlock& x) const {
    const typename V::Ints high = V::template shift_left<8>(dot<kGroup>(x.high));
    return add_offset<kGroup>(V::add(high, dot<kGroup>(x.low)), x);
  }

 private:
  template <int kGroup>
  typename V::Ints dot(const int8_t* x_codes) const {
    constexpr int kFirst = kGroup * F.group_columns;
    return V::template dot<F.code_bits, F.group_columns / 4>(quads + kFirst / 4, x_codes + kFirst);
  }

  template <int kGroup, class X>
  static typename V::Ints add_offset(typename V::Ints sum, const X& x) {
    if constexpr (F.offset == 0) {
      return sum;
    } else {
      typename V::Ints x_sum = V::broadcast_int(kGroup == 0 ? &x.sum : &x.second_sum);
      if constexpr (F.group_columns == 16 && kGroup == 0) x_sum = V::subtract(x_sum, V::broadcast_int(&x.second_sum));
      return V::subtract(sum, V::template shift_left<log2_of(-F.offset)>(x_sum));
    }
  }
};

/// Signed bytes widened to 16 bits, one vector for each 2 columns.
template <class V, QuantFormat F>
struct TileCodes<V, F, CodeLayout::kPairs> {
  typename V::Bytes pairs[16];

  explicit TileCodes(const uint8_t* block) {
#pragma GCC unroll 16
    for (int v = 0; v < 16; ++v) pairs[v] = V::load_widened(block + v * 2 * V::kLanes);
  }

  template <int kGroup>
  typename V::Ints sums(const WideBlock& x) const {
    return V::dot_pairs(pairs, x.codes);
  }
};

template <class V, QuantFormat F>
typename V::Floats load_scales(const uint8_t* from) {
  if constexpr (F.f16_scales) return V::load_f16(from);
  else return V::load_floats(from);
}

template <class V, QuantFormat F, class X, int kRows>
void multiply_rows(const uint8_t* tile, int64_t num_blocks, const uint8_t* x, size_t x_row_bytes, typename V::Floats* result) {
  constexpr CodeLayout kLayout = code_layout<V, F>(is_bytes(static_cast<const X*>(nullptr)));
  constexpr int kCodeBytes = V::kLanes * (kLayout == CodeLayout::kNibbles ? 16 : 32);
  constexpr int kScaleBytes = V::kLanes * (F.f16_scales ? 2 : 4);
  constexpr int kGroups = kBlockColumns / F.group_columns;
  constexpr int kBytes = kCodeBytes + kScaleBytes * (kGroups + (F.has_min ? 1 : 0));
  typename V::Floats acc[kRows];
  const X* x_row[kRows];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
    acc[r] = V::zero();
    x_row[r] = reinterpret_cast<const X*>(x + static_cast<size_t>(r) * x_row_bytes);
  }
  for (int64_t b = 0; b < num_blocks; ++b, tile += kBytes) {
    const TileCodes<V, F, kLayout> codes(tile);
    const typename V::Floats scale0 = load_scales<V, F>(tile + kCodeBytes);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const X& block = x_row[r][b];
      const typename V::Floats x_scale = V::broadcast(&block.scale);
      acc[r] = V::fma(V::to_floats(codes.template sums<0>(block)), V::mul(x_scale, scale0), acc[r]);
      if constexpr (kGroups == 2) {
        const typename V::Floats scale1 = load_scales<V, F>(tile + kCodeBytes + kScaleBytes);
        acc[r] = V::fma(V::to_floats(codes.template sums<1>(block)), V::mul(x_scale, scale1), acc[r]);
      }
      if constexpr (F.has_min) {
        const typename V::Floats min = load_scales<V, F>(tile + kCodeBytes + kScaleBytes * kGroups);
        acc[r] = V::fma(min, V::broadcast(&block.scaled_sum), acc[r]);
      }
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) result[r] = acc[r];
}

/// Writes one tile's results for kRows rows, whose first is `row`; padding lanes are dropped.
template <class V, int kRows>
void store_rows(const LinearTask& task, int64_t tile, int64_t row, const typename V::Floats* result) {
  const int64_t first = tile * V::kLanes;
  const bool whole = first + V::kLanes <= task.num_outputs;
  for (int r = 0; r < kRows; ++r) {
    float* out = task.out + (row + r) * task.out_stride + first;
    if (whole) {
      typename V::Floats sum = result[r];
      if (task.bias != nullptr) sum = V::add_floats(sum, V::load_floats(reinterpret_cast<const uint8_t*>(task.bias + first)));
      V::store(out, sum);
    } else {
      float lanes[V::kLanes];
      V::store(lanes, result[r]);
      for (int64_t j = first; j < task.num_outputs; ++j) {
        out[j - first] = task.bias != nullptr ? lanes[j - first] + task.bias[j] : lanes[j - first];
      }
    }
  }
}

template <class V, QuantFormat F, class X, int kRows>
void multiply_some(const LinearTask& task, int64_t tile, int64_t row) {
  typename V::Floats result[kRows];
  multiply_rows<V, F, X, kRows>(task.tiles + static_cast<size_t>(tile) * task.tile_bytes, task.num_blocks,
                                task.x + static_cast<size_t>(row) * task.x_row_bytes, task.x_row_bytes, result);
  store_rows<V, kRows>(task, tile, row, result);
}

template <class V, QuantFormat F, class X>
void multiply_quantized(const LinearTask& task) {
  for (int64_t tile = 0; tile < task.num_tiles; ++tile) {
    int64_t row = 0;
    for (; row + 4 <= task.num_rows; row += 4) multiply_some<V, F, X, 4>(task, tile, row);
    switch (task.num_rows - row) {
      case 3: multiply_some<V, F, X, 3>(task, tile, row); break;
      case 2: multiply_some<V, F, X, 2>(task, tile, row); break;
      case 1: multiply_some<V, F, X, 1>(task, tile, row); break;
      default: break;
    }
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
  typename V::Floats acc[kTiles][kRows];
  for (int t = 0; t < kTiles; ++t) {
    for (int r = 0; r < kRows; ++r) acc[t][r] = V::zero();
  }
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
      for (int r = 0; r < kRows; ++r) acc[t][r] = V::fma(weight, x_value[r], acc[t][r]);
    }
  }
  for (int t = 0; t < kTiles; ++t) store_rows<V, kRows>(task, tile + t, row, acc[t]);
}

template <class V, DType kDType, int kTiles>
void multiply_float_tiles(const LinearTask& task, int64_t tile) {
  int64_t row = 0;
  for (; row + 4 <= task.num_rows; row += 4) multiply_float_rows<V, kDType, 4, kTiles>(task, tile, row);
  for (; row < task.num_rows; ++row) multiply_float_rows<V, kDType, 1, kTiles>(task, tile, row);
}

/// Two tiles at a time: one chain of fma a row would leave the units idle.
template <class V, DType kDType>
void multiply_floats(const LinearTask& task) {
  int64_t tile = 0;
  for (; tile + 2 <= task.num_tiles; tile += 2) multiply_float_tiles<V, kDType, 2>(task, tile);
  if (tile < task.num_tiles) multiply_float_tiles<V, kDType, 1>(task, tile);
}

template <class V, DType kDType>
MultiplyFunction choose_quantized(bool fine) {
  constexpr QuantFormat kFormat = quant_format(kDType);
  if constexpr (kFormat.code_bits == 8) {
    if constexpr (V::kByteDot) {
      if (!fine) return &multiply_quantized<V, kFormat, ByteBlock>;
    }
    return &multiply_quantized<V, kFormat, WideBlock>;
  } else {
    return fine ? &multiply_quantized<V, kFormat, PlaneBlock> : &multiply_quantized<V, kFormat, ByteBlock>;
  }
}

/// LinearKernels::multiply of V.
template <class V>
MultiplyFunction choose_multiply(DType dtype, bool fine) {
  switch (dtype) {
    case DType::kQ4_0: return choose_quantized<V, DType::kQ4_0>(fine);
    case DType::kQ4_1: return choose_quantized<V, DType::kQ4_1>(fine);
    case DType::kQ5_0: return choose_quantized<V, DType::kQ5_0>(fine);
    case DType::kQ5_1: return choose_quantized<V, DType::kQ5_1>(fine);
    case DType::kQ8_0: return choose_quantized<V, DType::kQ8_0>(fine);
    case DType::kQ4_K: return choose_quantized<V, DType::kQ4_K>(fine);
    case DType::kQ5_K: return choose_quantized<V, DType::kQ5_K>(fine);
    case DType::kQ6_K: return choose_quantized<V, DType::kQ6_K>(fine);
    case DType::kF32: return &multiply_floats<V, DType::kF32>;
    case DType::kF16: return &multiply_floats<V, DType::kF16>;
    case DType::kBF16: return &multiply_floats<V, DType::kBF16>;
  }
  return nullptr;
}

}  // namespace terrace
