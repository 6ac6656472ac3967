// The multiplication of packed quantised tiles, written once for every ISA. V, the vector of an ISA, has one lane per output row of a
// tile; it must live in an anonymous namespace, so that each file's instances stay its own.
//
// The arithmetic is the contract of LAW 4; per output: acc = 0; for each block in column order, for each group of it,
//   acc = fma(float(isum), x.scale * scale, acc), isum the exact sum of (code + offset) * x.code,
// then, if the format has a min, acc = fma(min, x.scaled_sum, acc). The bias is added last.
//
// The order of the work: for each pair of tiles, for each block of columns, as many vectors of codes as the registers hold are
// loaded and unpacked; then they stay there while all rows of the panel pass by. A row's sums wait in the L1 cache between.
#pragma once

#include <type_traits>

#include "kernels/cpu/linear_kernels.h"

namespace terrace {

/// Few rows wait for weights from memory, which come fastest as one stream: they take a tile at a time. More take two side by side, so
/// that each broadcast of x serves both.
constexpr int64_t kFewRows = 3;
constexpr int tiles_for(int64_t most_rows) { return most_rows <= kFewRows ? 1 : 2; }

constexpr int smaller(int a, int b) { return a < b ? a : b; }
constexpr int log2_of(int value) { return value <= 1 ? 0 : 1 + log2_of(value / 2); }

template <QuantFormat F, class X>
constexpr CodeLayout code_layout() {
  if (F.code_bits == 8) return X::kWide ? CodeLayout::kPairs : CodeLayout::kQuads;
  return F.code_bits == 4 ? CodeLayout::kNibbles : CodeLayout::kQuads;
}

/// A block's parts: its code vectors are dealt with in passes, a pass in pieces that belong to one scale.
template <class V, QuantFormat F, class X, int kTiles>
struct BlockShape {
  static constexpr CodeLayout kLayout = code_layout<F, X>();
  static constexpr int kVectorColumns = X::kWide ? 2 : 4;
  static constexpr int kVectors = kBlockColumns / kVectorColumns;
  static constexpr int kGroupVectors = F.group_columns / kVectorColumns;
  static constexpr int kGroups = kVectors / kGroupVectors;
  static constexpr int kPassVectors = smaller(V::kWeightRegisters / kTiles, kVectors);
  static constexpr int kPieceVectors = smaller(kPassVectors, kGroupVectors);
  // Vectors whose products are added up in V's narrow sums before these are widened.
  static constexpr int kChain = X::kWide ? kGroupVectors : smaller(V::longest_chain(F.code_bits), kGroupVectors);
  static constexpr bool kOneChain = kChain == kGroupVectors;
  // The vectors of a piece in two sums by turns, where one product waits for the last one's for too long.
  static constexpr bool kTwoSums = V::kTwoSums && kPieceVectors >= 4 && (X::kWide || kOneChain);
  static_assert(kVectors % kPassVectors == 0 && kPassVectors % kPieceVectors == 0 && (kOneChain || kPieceVectors % kChain == 0));

  static constexpr int kCodeBytes = V::kLanes * (kLayout == CodeLayout::kNibbles ? 16 : 32);
  static constexpr int kScaleBytes = V::kLanes * (F.f16_scales ? 2 : 4);
  static constexpr int kBytes = kCodeBytes + kScaleBytes * (kGroups + (F.has_min ? 1 : 0));

  /// What meets the `v`-th kVectorColumns codes of x.
  static typename V::Bytes load_codes(const uint8_t* block, int v) {
    if constexpr (kLayout == CodeLayout::kPairs) return V::load_widened(block + v * 2 * V::kLanes);
    else if constexpr (X::kWide) return v % 2 == 0 ? V::even_bytes(load_quads(block, v / 2)) : V::odd_bytes(load_quads(block, v / 2));
    else return load_quads(block, v);
  }
  /// The codes of columns 4 v to 4 v + 3.
  static typename V::Bytes load_quads(const uint8_t* block, int v) {
    if constexpr (kLayout == CodeLayout::kQuads) return V::load_bytes(block + v * 4 * V::kLanes);
    const uint8_t* vector = block + v % 4 * 4 * V::kLanes;
    return v < 4 ? V::low_nibbles(vector) : V::high_nibbles(vector);
  }
  /// Index kGroups is the min.
  static typename V::Floats load_scale(const uint8_t* block, int group) {
    const uint8_t* from = block + kCodeBytes + group * kScaleBytes;
    if constexpr (F.f16_scales) return V::load_f16(from);
    else return V::load_floats(from);
  }
};

/// One tile after another is read front to back: fetching this far ahead gave 1.2 times the bandwidth on Zen 3.
constexpr size_t kPrefetchBytes = 3072;

template <class V, int kBytes>
void prefetch(const uint8_t* from) {
#pragma GCC unroll 16
  for (int i = 0; i < kBytes; i += 64) __builtin_prefetch(from + i);
}

/// A panel of x, of kMostRows at most, by a tile or two.
template <class V, QuantFormat F, class X, int64_t kMostRows>
class PanelProduct {
 public:
  static constexpr int kTiles = tiles_for(kMostRows);

  /// `x`: the panel, [num_blocks][num_rows]. `ahead`: bytes from a tile to what will be read after it.
  void compute(const uint8_t* const* tiles, size_t ahead, int64_t num_blocks, const X* x, int64_t num_rows) {
    if constexpr (kMostRows == 1) num_rows = 1;
    for (int64_t r = 0; r < num_rows; ++r) {
      for (int t = 0; t < kTiles; ++t) totals_[r][t] = V::zero();
    }
    for (int64_t b = 0; b < num_blocks; ++b, x += num_rows) {
      const uint8_t* block[kTiles];
      for (int t = 0; t < kTiles; ++t) {
        block[t] = tiles[t] + b * Shape::kBytes;
        prefetch<V, Shape::kBytes>(block[t] + ahead);
      }
      add_from<0>(block, x, num_rows);
    }
  }
  typename V::Floats total(int64_t row, int tile) const { return totals_[row][tile]; }

 private:
  using Shape = BlockShape<V, F, X, kTiles>;

  template <int kFirst>
  void add_from(const uint8_t* const* block, const X* x, int64_t num_rows) {
    add_pass<kFirst>(block, x, num_rows);
    if constexpr (kFirst + Shape::kPassVectors < Shape::kVectors) add_from<kFirst + Shape::kPassVectors>(block, x, num_rows);
  }

  /// The block's vectors from kFirst on.
  template <int kFirst>
  void add_pass(const uint8_t* const* block, const X* x, int64_t num_rows) {
    typename V::Bytes weights[kTiles][Shape::kPassVectors];
#pragma GCC unroll 16
    for (int v = 0; v < Shape::kPassVectors; ++v) {
#pragma GCC unroll 2
      for (int t = 0; t < kTiles; ++t) {
        weights[t][v] = Shape::load_codes(block[t], kFirst + v);
        V::pin(weights[t][v]);
      }
    }
    typename V::Floats scales[kTiles][Shape::kGroups + 1];
#pragma GCC unroll 4
    for (int g = 0; g < Shape::kGroups + (F.has_min ? 1 : 0); ++g) {
#pragma GCC unroll 2
      for (int t = 0; t < kTiles; ++t) scales[t][g] = Shape::load_scale(block[t], g);
    }
    for (int64_t r = 0; r < num_rows; ++r) {
      add_piece<kFirst, 0>(weights, scales, x[r], r);
      if constexpr (Shape::kPieceVectors < Shape::kPassVectors) add_piece<kFirst, Shape::kPieceVectors>(weights, scales, x[r], r);
    }
  }

  /// Those of one group, from the pass's vector kOffset on.
  template <int kFirst, int kOffset>
  void add_piece(const typename V::Bytes (&weights)[kTiles][Shape::kPassVectors],
                 const typename V::Floats (&scales)[kTiles][Shape::kGroups + 1], const X& x, int64_t row) {
    constexpr int kVector = kFirst + kOffset;
    constexpr int kGroup = kVector / Shape::kGroupVectors;
    constexpr bool kBegins = kVector % Shape::kGroupVectors == 0;
    constexpr bool kEnds = (kVector + Shape::kPieceVectors) % Shape::kGroupVectors == 0;
    typename V::Ints sums[X::kPlanes][kTiles];
#pragma GCC unroll 2
    for (int plane = 0; plane < X::kPlanes; ++plane) {
      if constexpr (!kBegins) {
#pragma GCC unroll 2
        for (int t = 0; t < kTiles; ++t) sums[plane][t] = waiting_[row][plane][t];
      }
      multiply<kOffset, kBegins>(weights, codes_of(x, plane) + Shape::kVectorColumns * kVector, sums[plane]);
#pragma GCC unroll 2
      for (int t = 0; t < kTiles; ++t) {
        if constexpr (!kEnds) waiting_[row][plane][t] = sums[plane][t];
        else sums[plane][t] = plane + 1 < X::kPlanes ? widen<8>(sums[plane][t]) : widen<0>(sums[plane][t]);
      }
    }
    if constexpr (kEnds) {
#pragma GCC unroll 2
      for (int t = 0; t < kTiles; ++t) {
        const typename V::Ints sum = X::kPlanes == 2 ? V::add(sums[0][t], sums[X::kPlanes - 1][t]) : sums[0][t];
        add_to_total<kGroup>(sum, scales[t], x, totals_[row][t]);
      }
    }
  }

  static const int8_t* codes_of(const ByteBlock& x, int) { return x.codes; }
  static const int8_t* codes_of(const PlaneBlock& x, int plane) { return plane == 0 ? x.high : x.low; }
  static const int16_t* codes_of(const WideBlock& x, int) { return x.codes; }

  /// sum[t] (+)= the pass's vectors from kOffset on by a row's codes. V::pin keeps the compiler from turning each chain into a tree,
  /// which spills.
  template <int kOffset, bool kBegins, class Code>
  static void multiply(const typename V::Bytes (&weights)[kTiles][Shape::kPassVectors], const Code* x, typename V::Ints* sum) {
    typename V::Ints chain[kTiles];  // narrow sums; or, where V wants two sums, that of the odd vectors
#pragma GCC unroll 16
    for (int v = 0; v < Shape::kPieceVectors; ++v) {
      const typename V::Bytes x_codes = V::broadcast_codes(x + v * Shape::kVectorColumns);
#pragma GCC unroll 2
      for (int t = 0; t < kTiles; ++t) {
        const typename V::Bytes& weight = weights[t][kOffset + v];
        if constexpr (Shape::kTwoSums) {
          typename V::Ints& sum_or_other = v % 2 == 0 ? sum[t] : chain[t];
          sum_or_other = v == 1 || (kBegins && v == 0) ? begin_sum(weight, x_codes) : add_product(sum_or_other, weight, x_codes);
        } else if constexpr (X::kWide || Shape::kOneChain) {
          sum[t] = kBegins && v == 0 ? begin_sum(weight, x_codes) : add_product(sum[t], weight, x_codes);
        } else {
          chain[t] = v % Shape::kChain == 0 ? V::begin_chain(weight, x_codes) : V::add_to_chain(chain[t], weight, x_codes);
          if (v % Shape::kChain + 1 < Shape::kChain) continue;
          chain[t] = V::template end_chain<0>(chain[t]);
          sum[t] = kBegins && v < Shape::kChain ? chain[t] : V::add(sum[t], chain[t]);
        }
        V::pin(sum[t]);
      }
    }
    if constexpr (Shape::kTwoSums) {
#pragma GCC unroll 2
      for (int t = 0; t < kTiles; ++t) sum[t] = V::add(sum[t], chain[t]);
    }
  }

  static typename V::Ints begin_sum(const typename V::Bytes& weight, const typename V::Bytes& x) {
    if constexpr (X::kWide) return V::multiply_pairs(weight, x);
    else return V::begin_chain(weight, x);
  }
  static typename V::Ints add_product(const typename V::Ints& sum, const typename V::Bytes& weight, const typename V::Bytes& x) {
    if constexpr (X::kWide) return V::add_pairs(sum, weight, x);
    else return V::add_to_chain(sum, weight, x);
  }

  /// A group's sum in full width, times 2^kShift.
  template <int kShift>
  static typename V::Ints widen(typename V::Ints sum) {
    if constexpr (Shape::kOneChain && !X::kWide) sum = V::template end_chain<kShift>(sum);
    else if constexpr (kShift != 0) sum = V::template shift_left<kShift>(sum);
    V::pin(sum);
    return sum;
  }

  /// `scales`: of a tile, by group, then the min.
  template <int kGroup>
  static void add_to_total(typename V::Ints sum, const typename V::Floats* scales, const X& x, typename V::Floats& total) {
    if constexpr (F.offset != 0 && Shape::kLayout != CodeLayout::kPairs) {
      typename V::Ints x_sum = V::broadcast_int(kGroup == 0 ? &x.sum : &x.second_sum);
      if constexpr (F.group_columns == 16 && kGroup == 0) x_sum = V::subtract(x_sum, V::broadcast_int(&x.second_sum));
      sum = V::subtract(sum, V::template shift_left<log2_of(-F.offset)>(x_sum));
    }
    typename V::Floats result = V::fma(V::to_floats(sum), V::mul(V::broadcast(&x.scale), scales[kGroup]), total);
    if constexpr (F.has_min && kGroup + 1 == Shape::kGroups) result = V::fma(scales[Shape::kGroups], V::broadcast(&x.scaled_sum), result);
    total = result;
  }

  typename V::Floats totals_[kMostRows][kTiles];
  typename V::Ints waiting_[kMostRows][X::kPlanes][kTiles];  // a group's sums between two passes
};

/// Writes one tile's results for a row; padding lanes are dropped.
template <class V>
void store_results(const LinearTask& task, int64_t tile, int64_t row, typename V::Floats results) {
  const int64_t first = tile * V::kLanes;
  float* out = task.out + row * task.out_stride + first;
  if (first + V::kLanes <= task.num_outputs) {
    if (task.bias != nullptr) results = V::add_floats(results, V::load_floats(reinterpret_cast<const uint8_t*>(task.bias + first)));
    V::store(out, results);
    return;
  }
  float lanes[V::kLanes];
  V::store(lanes, results);
  for (int64_t j = first; j < task.num_outputs; ++j) {
    out[j - first] = task.bias != nullptr ? lanes[j - first] + task.bias[j] : lanes[j - first];
  }
}

template <class V, QuantFormat F, class X, int64_t kMostRows>
void multiply_panel(const LinearTask& task) {
  using Product = PanelProduct<V, F, X, kMostRows>;
  const size_t ahead = Product::kTiles == 1 ? kPrefetchBytes : Product::kTiles * task.tile_bytes;
  for (int64_t tile = 0; tile < task.num_tiles; tile += Product::kTiles) {
    const uint8_t* tiles[Product::kTiles];
    for (int64_t t = 0; t < Product::kTiles; ++t) {  // an odd last tile is computed twice
      tiles[t] = task.tiles + static_cast<size_t>(tile + t < task.num_tiles ? tile + t : tile) * task.tile_bytes;
    }
    for (int64_t row = 0; row < task.num_rows; ++row) __builtin_prefetch(task.out + row * task.out_stride + tile * V::kLanes, 1);
    Product product;
    product.compute(tiles, ahead, task.num_blocks, reinterpret_cast<const X*>(task.x), task.num_rows);
    for (int64_t row = 0; row < task.num_rows; ++row) {
      for (int t = 0; t < Product::kTiles && tile + t < task.num_tiles; ++t) store_results<V>(task, tile + t, row, product.total(row, t));
    }
  }
}

template <class V, QuantFormat F, class X>
void multiply_quantized(const LinearTask& task) {
  if (task.num_rows == 1) multiply_panel<V, F, X, 1>(task);
  else if (task.num_rows <= kFewRows) multiply_panel<V, F, X, kFewRows>(task);
  else multiply_panel<V, F, X, kPanelRows>(task);
}

/// choose(std::integral_constant<DType, dtype>).
template <class Choose>
MultiplyFunction for_dtype(DType dtype, Choose choose) {
  switch (dtype) {
    case DType::kQ4_0: return choose(std::integral_constant<DType, DType::kQ4_0>{});
    case DType::kQ4_1: return choose(std::integral_constant<DType, DType::kQ4_1>{});
    case DType::kQ5_0: return choose(std::integral_constant<DType, DType::kQ5_0>{});
    case DType::kQ5_1: return choose(std::integral_constant<DType, DType::kQ5_1>{});
    case DType::kQ8_0: return choose(std::integral_constant<DType, DType::kQ8_0>{});
    case DType::kQ4_K: return choose(std::integral_constant<DType, DType::kQ4_K>{});
    case DType::kQ5_K: return choose(std::integral_constant<DType, DType::kQ5_K>{});
    case DType::kQ6_K: return choose(std::integral_constant<DType, DType::kQ6_K>{});
    case DType::kF32: return choose(std::integral_constant<DType, DType::kF32>{});
    case DType::kF16: return choose(std::integral_constant<DType, DType::kF16>{});
    case DType::kBF16: return choose(std::integral_constant<DType, DType::kBF16>{});
  }
  return nullptr;
}

template <class V, DType kDType>
MultiplyFunction choose_quantized(bool fine) {
  constexpr QuantFormat kFormat = quant_format(kDType);
  if constexpr (V::kByteDot) {
    return fine ? &multiply_quantized<V, kFormat, PlaneBlock> : &multiply_quantized<V, kFormat, ByteBlock>;
  } else if constexpr (kFormat.code_bits == 8) {
    return &multiply_quantized<V, kFormat, WideBlock>;
  } else {
    return fine ? &multiply_quantized<V, kFormat, WideBlock> : &multiply_quantized<V, kFormat, ByteBlock>;
  }
}

}  // namespace terrace
