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

template <class V, QuantFormat F, class X>
constexpr CodeLayout code_layout() {
  if (F.code_bits == 8) return X::kWide ? CodeLayout::kPairs : CodeLayout::kQuads;
  return F.code_bits == 4 ? CodeLayout::kNibbles : CodeLayout::kQuads;
}

constexpr int log2_of(int value) { return value <= 1 ? 0 : 1 + log2_of(value / 2); }

/// One block of a tile by the blocks of kRows rows of x. Weights are taken a vector at a time and each is used for all rows at
/// once; V::pin keeps the compiler from undoing that order, which would spill the sums.
template <class V, QuantFormat F, class X, int kRows>
struct BlockSums {
  static constexpr CodeLayout kLayout = code_layout<V, F, X>();
  typename V::Ints sums[kRows];  // of (code + offset) * x.code over one group's columns

  template <int kGroup>
  void compute(const uint8_t* codes, const X* const* x) {
    if constexpr (kLayout == CodeLayout::kPairs) {
      multiply_pairs(codes, x);
    } else if constexpr (X::kPlanes == 2) {
      typename V::Ints high[kRows];
      multiply_quads<kGroup>(codes, [&](int r) { return x[r]->high; }, high);
      multiply_quads<kGroup>(codes, [&](int r) { return x[r]->low; }, sums);
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) sums[r] = V::add(V::template shift_left<8>(high[r]), sums[r]);
    } else {
      multiply_quads<kGroup>(codes, [&](int r) { return x[r]->codes; }, sums);
    }
    if constexpr (F.offset != 0 && kLayout != CodeLayout::kPairs) add_offset<kGroup>(x);
  }

 private:
  static void multiply_pairs(const uint8_t* codes, const X* const* x, typename V::Ints* out) {
#pragma GCC unroll 16
    for (int v = 0; v < 16; ++v) {
      const typename V::Bytes weights = V::load_widened(codes + v * 2 * V::kLanes);
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) {
        out[r] = v == 0 ? V::multiply_pairs(weights, x[r]->codes) : V::add_pairs(out[r], weights, x[r]->codes + 2 * v);
        V::pin(out[r]);
      }
    }
  }
  void multiply_pairs(const uint8_t* codes, const X* const* x) { multiply_pairs(codes, x, sums); }

  /// The 4 columns of vector `v`, counted so that the nibbles of one vector follow one another.
  static typename V::Bytes load_quad(const uint8_t* codes, int v) {
    if constexpr (kLayout == CodeLayout::kQuads) return V::load_bytes(codes + v * 4 * V::kLanes);
    const uint8_t* vector = codes + v / 2 * 4 * V::kLanes;
    return v % 2 == 0 ? V::low_nibbles(vector) : V::high_nibbles(vector);
  }
  static constexpr int first_column(int v) { return kLayout == CodeLayout::kQuads ? 4 * v : v % 2 * 16 + v / 2 * 4; }

  template <int kGroup, class CodesOf>
  static void multiply_quads(const uint8_t* codes, CodesOf x_codes, typename V::Ints* out) {
    constexpr int kQuads = F.group_columns / 4;
    constexpr int kLongest = V::longest_chain(F.code_bits);
    constexpr int kChain = kLongest < kQuads ? kLongest : kQuads;
#pragma GCC unroll 8
    for (int first = 0; first < kQuads; first += kChain) {
      typename V::Chain chains[kRows];
#pragma GCC unroll 8
      for (int v = kGroup * kQuads + first; v < kGroup * kQuads + first + kChain; ++v) {
        const typename V::Bytes weights = load_quad(codes, v);
#pragma GCC unroll 8
        for (int r = 0; r < kRows; ++r) {
          const int8_t* x = x_codes(r) + first_column(v);
          chains[r] = v == kGroup * kQuads + first ? V::begin_chain(weights, x) : V::add_to_chain(chains[r], weights, x);
          V::pin(chains[r]);
        }
      }
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) {
        const typename V::Ints sum = V::end_chain(chains[r]);
        out[r] = first == 0 ? sum : V::add(out[r], sum);
      }
    }
  }

  template <int kGroup>
  void add_offset(const X* const* x) {
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      typename V::Ints x_sum = V::broadcast_int(kGroup == 0 ? &x[r]->sum : &x[r]->second_sum);
      if constexpr (F.group_columns == 16 && kGroup == 0) x_sum = V::subtract(x_sum, V::broadcast_int(&x[r]->second_sum));
      sums[r] = V::subtract(sums[r], V::template shift_left<log2_of(-F.offset)>(x_sum));
    }
  }
};

template <class V, QuantFormat F>
typename V::Floats load_scales(const uint8_t* from) {
  if constexpr (F.f16_scales) return V::load_f16(from);
  else return V::load_floats(from);
}

/// Weights are read once, front to back: fetching them this far ahead gave 1.2 times the bandwidth on Zen 3.
constexpr int kPrefetchBytes = 3072;

template <class V, int kBytes>
void prefetch(const uint8_t* block) {
#pragma GCC unroll 16
  for (int i = 0; i < kBytes; i += 64) __builtin_prefetch(block + kPrefetchBytes + i);
}

template <class V, QuantFormat F, class X, int kRows>
void multiply_rows(const uint8_t* tile, int64_t num_blocks, const uint8_t* x, size_t x_row_bytes, typename V::Floats* result) {
  using Sums = BlockSums<V, F, X, kRows>;
  constexpr int kCodeBytes = V::kLanes * (Sums::kLayout == CodeLayout::kNibbles ? 16 : 32);
  constexpr int kScaleBytes = V::kLanes * (F.f16_scales ? 2 : 4);
  constexpr int kGroups = kBlockColumns / F.group_columns;
  constexpr int kBytes = kCodeBytes + kScaleBytes * (kGroups + (F.has_min ? 1 : 0));
  typename V::Floats acc[kRows];
  const X* block[kRows];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
    acc[r] = V::zero();
    block[r] = reinterpret_cast<const X*>(x + static_cast<size_t>(r) * x_row_bytes);
  }
  for (int64_t b = 0; b < num_blocks; ++b, tile += kBytes) {
    prefetch<V, kBytes>(tile);
    const auto accumulate = [&]<int kGroup>() {
      Sums sums;
      sums.template compute<kGroup>(tile, block);
      const typename V::Floats scale = load_scales<V, F>(tile + kCodeBytes + kGroup * kScaleBytes);
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) {
        acc[r] = V::fma(V::to_floats(sums.sums[r]), V::mul(V::broadcast(&block[r]->scale), scale), acc[r]);
      }
    };
    accumulate.template operator()<0>();
    if constexpr (kGroups == 2) accumulate.template operator()<1>();
    if constexpr (F.has_min) {
      const typename V::Floats min = load_scales<V, F>(tile + kCodeBytes + kScaleBytes * kGroups);
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) acc[r] = V::fma(min, V::broadcast(&block[r]->scaled_sum), acc[r]);
    }
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) ++block[r];
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

template <class V, QuantFormat F, class X>
void multiply_quantized(const LinearTask& task) {
  for (int64_t tile = 0; tile < task.num_tiles; ++tile) {
    in_passes<V::kMostRows>(task.num_rows, [&]<int kRows>(int64_t row) { multiply_some<V, F, X, kRows>(task, tile, row); });
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
  for (int t = 0; t < kTiles; ++t) store_rows<V, kRows>(task, tile + t, row, result + t * kRows);
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
