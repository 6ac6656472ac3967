// The linear kernels of Numerics::kFast on AMX, for many rows: weights and activations are rounded to bfloat16, whose products tile registers
// add up in their own order. Two tiles of weights are turned into bfloat16 once, then all rows of the task pass by, 32 at a time.
// Only intrinsics that tests/support/kernels/{avx512_by_avx2,amx_by_loops}.h know: tests run this file on machines without AMX through them.

#include "kernels/cpu/avx512_vector.h"
#include "kernels/cpu/tile_registers.h"

namespace terrace {
namespace {

constexpr int kLanes = ByteDotVector::kLanes;
constexpr int64_t kMostBlocks = 9;  // of two tiles at a time: 18 KiB, which stay in L1

using WeightPairs = uint32_t[16][kLanes];  // of a block: [pair of columns][output]

/// The bits of another NaN might not survive rounding.
__m512 with_plain_nans(__m512 value) {
  return _mm512_mask_mov_ps(value, _mm512_cmp_ps_mask(value, value, _CMP_UNORD_Q), _mm512_set1_ps(__builtin_nanf("")));
}

/// The upper half is the bfloat16, rounded half up; NaNs are plain.
__m512i rounded(__m512 value) { return _mm512_add_epi32(_mm512_castps_si512(value), _mm512_set1_epi32(0x8000)); }

/// Two floats of each output to a pair.
__m512i make_pairs(__m512 low, __m512 high) {
  const __m512i upper = _mm512_and_si512(rounded(high), _mm512_set1_epi32(static_cast<int>(0xffff0000)));
  return _mm512_or_si512(upper, _mm512_srli_epi32(rounded(low), 16));
}

/// The byte that stands at bit 15 after a shift, as a float: 256 + code.
__m512 float_of_code(__m512i shifted) {
  return _mm512_castsi512_ps(_mm512_or_si512(_mm512_and_si512(shifted, _mm512_set1_epi32(0x007f8000)), _mm512_set1_epi32(0x43800000)));
}

/// Blocks of a weight tile as pairs.
template <DType kDType>
struct Blocks {
  static constexpr QuantFormat kFormat = quant_format(kDType);
  using Shape = BlockShape<ByteDotVector, kFormat, ByteBlock, 1>;

  static int64_t count(const LinearTask& task) { return task.num_blocks; }

  static void unpack(const LinearTask& task, const uint8_t* tile, int64_t index, WeightPairs& to) {
    const uint8_t* block = tile + index * Shape::kBytes;
    prefetch<ByteDotVector, Shape::kBytes>(block + 2 * task.tile_bytes);
    for (int group = 0; group < Shape::kGroups; ++group) {
      const __m512 scale = with_plain_nans(Shape::load_scale(block, group));
      const __m512 min = kFormat.has_min ? with_plain_nans(Shape::load_scale(block, Shape::kGroups)) : _mm512_setzero_ps();
      if constexpr (Shape::kLayout == CodeLayout::kNibbles) unpack_nibbles(block, scale, min, to);
      else unpack_bytes(block, group, scale, min, to);
    }
  }

 private:
  static __m512 base_of(__m512 scale, __m512 min, int zero) { return _mm512_fmadd_ps(scale, _mm512_set1_ps(static_cast<float>(kFormat.offset - zero)), min); }

  /// A table of 16 floats takes as an index what the lowest 4 bits are.
  static void unpack_nibbles(const uint8_t* block, __m512 scale, __m512 min, WeightPairs& to) {
    static constexpr float kCodes[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    const __m512 codes = _mm512_loadu_ps(kCodes);
    const __m512 base = base_of(scale, min, 0);
#pragma GCC unroll 4
    for (int v = 0; v < 4; ++v) {
      const __m512i nibbles = _mm512_loadu_si512(block + v * 4 * kLanes);
      const auto weight = [&](__m512i shifted) { return _mm512_fmadd_ps(_mm512_permutexvar_ps(shifted, codes), scale, base); };
      _mm512_storeu_si512(to[2 * v], make_pairs(weight(nibbles), weight(_mm512_srli_epi32(nibbles, 8))));
      _mm512_storeu_si512(to[2 * v + 1], make_pairs(weight(_mm512_srli_epi32(nibbles, 16)), weight(_mm512_srli_epi32(nibbles, 24))));
      _mm512_storeu_si512(to[8 + 2 * v], make_pairs(weight(_mm512_srli_epi32(nibbles, 4)), weight(_mm512_srli_epi32(nibbles, 12))));
      _mm512_storeu_si512(to[8 + 2 * v + 1], make_pairs(weight(_mm512_srli_epi32(nibbles, 20)), weight(_mm512_srli_epi32(nibbles, 28))));
    }
  }

  static void unpack_bytes(const uint8_t* block, int group, __m512 scale, __m512 min, WeightPairs& to) {
    const __m512 base = base_of(scale, min, 256);
#pragma GCC unroll 8
    for (int v = group * Shape::kGroupVectors; v < (group + 1) * Shape::kGroupVectors; ++v) {
      const __m512i codes = Shape::load_codes(block, v);
      const auto weight = [&](__m512i shifted) { return _mm512_fmadd_ps(float_of_code(shifted), scale, base); };
      _mm512_storeu_si512(to[2 * v], make_pairs(weight(_mm512_slli_epi32(codes, 15)), weight(_mm512_slli_epi32(codes, 7))));
      _mm512_storeu_si512(to[2 * v + 1], make_pairs(weight(_mm512_srli_epi32(codes, 1)), weight(_mm512_srli_epi32(codes, 9))));
    }
  }
};

template <DType kDType>
struct FloatBlocks {
  static int64_t count(const LinearTask& task) { return (task.num_blocks + kBlockColumns - 1) / kBlockColumns; }

  static void unpack(const LinearTask& task, const uint8_t* tile, int64_t index, WeightPairs& to) {
    for (int k = 0; k < kBlockColumns / 2; ++k) {
      const int64_t column = index * kBlockColumns + 2 * k;
      _mm512_storeu_si512(to[k], make_pairs(load(task, tile, column), load(task, tile, column + 1)));
    }
  }
  static __m512 load(const LinearTask& task, const uint8_t* tile, int64_t column) {
    if (column >= task.num_blocks) return _mm512_setzero_ps();
    if constexpr (kDType == DType::kF32) return with_plain_nans(ByteDotVector::load_floats(tile + column * kLanes * 4));
    else if constexpr (kDType == DType::kF16) return with_plain_nans(ByteDotVector::load_f16(tile + column * kLanes * 2));
    else return with_plain_nans(ByteDotVector::load_bf16(tile + column * kLanes * 2));
  }
};

/// Two strips of x, each [blocks][16 rows].
struct Strips {
  const PairBlock* first;
  const PairBlock* second;  // perhaps beyond the last, and not read then
};
/// [32 rows, 2 tiles], rows `stride` apart.
struct SumsAt {
  float* data;
  int64_t stride;
};

/// sums `to` = sums `from`, or zero, + the products of up to 32 rows of x and two weight tiles over some blocks.
template <bool kTwoStrips>
void multiply_strips(Strips x, const WeightPairs (*weights)[2], int64_t blocks, SumsAt from, SumsAt to) {
  constexpr long kRowBytes = 64;
  const long from_bytes = from.stride * static_cast<long>(sizeof(float)), to_bytes = to.stride * static_cast<long>(sizeof(float));
  asm volatile("" ::: "memory");  // tile loads are no memory accesses in the eyes of gcc
  if (from.data != nullptr) {
    _tile_loadd(0, from.data, from_bytes);
    _tile_loadd(1, from.data + kLanes, from_bytes);
    if constexpr (kTwoStrips) _tile_loadd(2, from.data + kStripRows * from.stride, from_bytes);
    if constexpr (kTwoStrips) _tile_loadd(3, from.data + kStripRows * from.stride + kLanes, from_bytes);
  } else {
    _tile_zero(0);
    _tile_zero(1);
    if constexpr (kTwoStrips) _tile_zero(2);
    if constexpr (kTwoStrips) _tile_zero(3);
  }
  for (int64_t b = 0; b < blocks; ++b) {
    _tile_loadd(4, x.first + b * kStripRows, kRowBytes);
    _tile_loadd(6, weights[b][0], kRowBytes);
    _tile_dpbf16ps(0, 4, 6);
    _tile_loadd(7, weights[b][1], kRowBytes);
    _tile_dpbf16ps(1, 4, 7);
    if constexpr (kTwoStrips) _tile_loadd(5, x.second + b * kStripRows, kRowBytes);
    if constexpr (kTwoStrips) _tile_dpbf16ps(2, 5, 6);
    if constexpr (kTwoStrips) _tile_dpbf16ps(3, 5, 7);
  }
  _tile_stored(0, to.data, to_bytes);
  _tile_stored(1, to.data + kLanes, to_bytes);
  if constexpr (kTwoStrips) _tile_stored(2, to.data + kStripRows * to.stride, to_bytes);
  if constexpr (kTwoStrips) _tile_stored(3, to.data + kStripRows * to.stride + kLanes, to_bytes);
  asm volatile("" ::: "memory");
}

/// All rows of a task by two weight tiles.
template <class BlocksOf>
class PairProduct {
 public:
  explicit PairProduct(const LinearTask& task) : task_(task), num_blocks_(BlocksOf::count(task)) {}

  /// Of an odd number of tiles the last is computed twice.
  void compute(int64_t tile) {
    const int64_t second = tile + 1 < task_.num_tiles ? tile + 1 : tile;
    const uint8_t* const tiles[2] = {task_.tiles + static_cast<size_t>(tile) * task_.tile_bytes,
                                     task_.tiles + static_cast<size_t>(second) * task_.tile_bytes};
    const bool whole = (tile + 2) * kLanes <= task_.num_outputs && task_.bias == nullptr;
    const int64_t runs = (num_blocks_ + kMostBlocks - 1) / kMostBlocks;
    for (int64_t run = 0; run < runs; ++run) {
      const int64_t first = run * num_blocks_ / runs;
      const int64_t count = (run + 1) * num_blocks_ / runs - first;
      for (int64_t b = 0; b < count; ++b) {
        for (int t = 0; t < 2; ++t) BlocksOf::unpack(task_, tiles[t], first + b, weights_[b][t]);
      }
      for (int64_t row = 0; row < task_.num_rows; row += 2 * kStripRows) multiply(row, tile, first, count, run + 1 == runs, whole);
    }
  }

 private:
  /// The strips of 32 rows; addresses only, of which the second may lie beyond.
  Strips x_at(int64_t row, int64_t block) const {
    const PairBlock* first = reinterpret_cast<const PairBlock*>(task_.x) + row * num_blocks_ + block * kStripRows;
    return {first, first + kStripRows * num_blocks_};
  }
  SumsAt out_at(int64_t row, int64_t tile) const { return {task_.out + row * task_.out_stride + tile * kLanes, task_.out_stride}; }

  void multiply(int64_t row, int64_t tile, int64_t first, int64_t count, bool last, bool whole) {
    const int64_t rows = task_.num_rows - row < 2 * kStripRows ? task_.num_rows - row : 2 * kStripRows;
    const bool straight = last && whole && (rows == kStripRows || rows == 2 * kStripRows);
    const SumsAt sums = {sums_[row], 2 * kLanes};
    const SumsAt from = {first == 0 ? nullptr : sums.data, sums.stride};
    const SumsAt to = straight ? out_at(row, tile) : sums;
    if (rows > kStripRows) multiply_strips<true>(x_at(row, first), weights_, count, from, to);
    else multiply_strips<false>(x_at(row, first), weights_, count, from, to);
    if (!last || straight) return;
    for (int64_t r = 0; r < rows; ++r) {
      for (int t = 0; t < 2 && tile + t < task_.num_tiles; ++t) {
        store_results<ByteDotVector>(task_, tile + t, row + r, _mm512_loadu_ps(sums.data + r * 2 * kLanes + t * kLanes));
      }
    }
  }

  const LinearTask& task_;
  const int64_t num_blocks_;
  alignas(64) WeightPairs weights_[kMostBlocks][2];
  alignas(64) float sums_[kPairPanelRows][2 * kLanes];
};

template <class BlocksOf>
void multiply_pairs(const LinearTask& task) {
  TileConfig config;
  for (int tile = 0; tile < 8; ++tile) config.set(tile, 16, 64);
  config.load();
  PairProduct<BlocksOf> product(task);
  for (int64_t tile = 0; tile < task.num_tiles; tile += 2) product.compute(tile);
  _tile_release();
}

MultiplyFunction choose_pair_multiply(DType dtype) {
  return for_dtype(dtype, [](auto type) -> MultiplyFunction {
    if constexpr (quant_format(type.value).code_bits == 0) return &multiply_pairs<FloatBlocks<type.value>>;
    else return &multiply_pairs<Blocks<type.value>>;
  });
}

__m256i narrow(const float* from) {
  return _mm512_cvtepi32_epi16(_mm512_srli_epi32(rounded(with_plain_nans(_mm512_loadu_ps(from))), 16));
}

/// One row to pairs, as a QuantizeFunction.
void narrow_row(const float* x, int64_t cols, void* blocks, int64_t stride) {
  auto* to = static_cast<PairBlock*>(blocks);
  const auto narrow_block = [](const float* from, PairBlock& block) {
    for (int64_t i = 0; i < kBlockColumns; i += kLanes) {
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(block.values + i), narrow(from + i));
    }
  };
  for (; cols >= kBlockColumns; cols -= kBlockColumns, x += kBlockColumns, to += stride) narrow_block(x, *to);
  if (cols == 0) return;
  float last[kBlockColumns] = {};
  for (int64_t i = 0; i < cols; ++i) last[i] = x[i];
  narrow_block(last, *to);
}

LinearKernels make_pair_kernels() {
  LinearKernels kernels = amx_linear_kernels();
  kernels.fewest_pair_rows = 16;
  kernels.multiply_pairs = &choose_pair_multiply;
  kernels.quantize[static_cast<size_t>(Activation::kPairs)] = &narrow_row;
  return kernels;
}

}  // namespace

const LinearKernels& amx_pair_linear_kernels() {
  static const LinearKernels kernels = make_pair_kernels();
  return kernels;
}

}  // namespace terrace
