// The linear kernels on AMX: a tile register multiplies 16 rows of x by a whole block of a weight tile at once, exactly, so the bits are
// those of VNNI, whose packing it reads. For few rows VNNI's own kernels serve.
// Only intrinsics that tests/support/kernels/{avx512_by_avx2,amx_by_loops}.h know: tests run this file on machines without AMX through them.

#include "kernels/cpu/avx512_vector.h"
#include "kernels/cpu/tile_registers.h"

namespace terrace {
namespace {

constexpr int kLanes = ByteDotVector::kLanes;
constexpr int kTiles = 2;           // of weights, which meet a strip while it is in a register
constexpr int64_t kFewestRows = 6;  // below, VNNI: a tile register costs the same for any number of rows

// Tile registers, which gcc wants as literals: x 0, weights 2 and 3, sums 4 and 5, a weight tile each, so that the sums of one are stored
// while the next are made; rows that fill no strip have registers of their own height, 1 for x, 6 and 7 for sums.
void configure_tiles(int group_columns, int tail_rows) {
  TileConfig config;
  config.set(0, kStripRows, group_columns);
  if (tail_rows > 0) config.set(1, tail_rows, group_columns);
  for (int t = 0; t < kTiles; ++t) {
    config.set(2 + t, group_columns / 4, 4 * kLanes);  // 4 columns of 16 outputs a row
    config.set(4 + t, kStripRows, 4 * kLanes);
    if (tail_rows > 0) config.set(6 + t, tail_rows, 4 * kLanes);
  }
  config.load();
}

using Sums = int32_t[kStripRows * kLanes];

/// `ahead`: bytes to the block of the next pair of tiles.
template <class Shape>
void unpack_block(const uint8_t* block, size_t ahead, uint8_t* codes) {
  prefetch<ByteDotVector, Shape::kBytes>(block + ahead);
#pragma GCC unroll 8
  for (int v = 0; v < Shape::kVectors; ++v) _mm512_storeu_si512(codes + v * 4 * kLanes, Shape::load_codes(block, v));
}

/// A panel of x by two weight tiles, some blocks at a time: first all products, which go through memory, since tile registers have no
/// other way out; then the scales. Taking turns block by block is slower: 25 to 28 ns a block and tile instead of 22 (a Xeon at 3.6 GHz).
template <QuantFormat F, class X>
class PairProduct {
 public:
  using Shape = BlockShape<ByteDotVector, F, X, 1>;

  PairProduct(const LinearTask& task, const uint8_t* first, const uint8_t* second) : task_(task), weights_{first, second} {}

  void compute() {
    const int64_t runs = (task_.num_blocks + kMostBlocks - 1) / kMostBlocks;
    for (int64_t run = 0; run < runs; ++run) {
      first_block_ = run * task_.num_blocks / runs;
      num_blocks_ = static_cast<int>((run + 1) * task_.num_blocks / runs - first_block_);
      unpack();
      for (int64_t row = 0; row < task_.num_rows; row += kStripRows) {
        if (row + kStripRows <= task_.num_rows) {
          multiply<false>(row);
          add_rows<kStripRows>(row, 0);
        } else {
          multiply<true>(row);
          const int rows = static_cast<int>(task_.num_rows - row);
          int r = 0;
          for (; r + 4 <= rows; r += 4) add_rows<4>(row, r);
          for (; r < rows; ++r) add_rows<1>(row, r);
        }
      }
    }
  }
  __m512 total(int64_t row, int tile) const { return _mm512_loadu_ps(totals_[row][tile]); }

 private:
  static constexpr int kMostBlocks = 6 / (X::kPlanes * Shape::kGroups);  // whose sums leave room for x in the L1 cache
  static constexpr int kVectorBytes = 4 * kLanes;

  const X* x_at(int block, int64_t row) const {
    return reinterpret_cast<const X*>(task_.x) + (first_block_ + block) * task_.num_rows + row;
  }
  const uint8_t* weights_at(int block, int t) const { return weights_[t] + static_cast<size_t>(first_block_ + block) * Shape::kBytes; }

  /// The blocks' codes, a byte each, as a tile register wants them: rows of whole cache lines.
  void unpack() {
    for (int b = 0; b < num_blocks_; ++b) {
      for (int t = 0; t < kTiles; ++t) unpack_block<Shape>(weights_at(b, t), kTiles * task_.tile_bytes, codes_[b][t]);
    }
  }

  /// The sums of a strip's products with both tiles.
  template <bool kTail>
  void multiply(int64_t row) {
    for (int b = 0; b < num_blocks_; ++b) {
      multiply_group<kTail, 0>(b, *x_at(b, row));
      if constexpr (Shape::kGroups == 2) multiply_group<kTail, 1>(b, *x_at(b, row));
    }
  }
  template <bool kTail, int kGroup>
  void multiply_group(int block, const X& x) {
    constexpr int kColumn = kGroup * F.group_columns;
    const uint8_t* const weights[kTiles] = {codes_[block][0] + kColumn * kLanes, codes_[block][1] + kColumn * kLanes};
    asm volatile("" ::: "memory");  // tile loads are no memory accesses in the eyes of gcc
    if constexpr (X::kPlanes == 1) {
      multiply_plane<kTail, true>(x.codes + kColumn, weights, sums_[block][kGroup][0]);
    } else {
      multiply_plane<kTail, true>(x.high + kColumn, weights, sums_[block][kGroup][0]);
      multiply_plane<kTail, false>(x.low + kColumn, weights, sums_[block][kGroup][1]);
    }
    asm volatile("" ::: "memory");
  }
  /// kLoad: the weights; otherwise they are still there.
  template <bool kTail, bool kLoad>
  static void multiply_plane(const int8_t* x, const uint8_t* const* weights, Sums (&sums)[kTiles]) {
    constexpr long kRowBytes = sizeof(X);  // a panel holds its rows of a block one after another
    if constexpr (!kTail) {
      _tile_loadd(0, x, kRowBytes);
      _tile_zero(4);
      if constexpr (kLoad) _tile_loadd(2, weights[0], kVectorBytes);
      _tile_dpbsud(4, 0, 2);
      _tile_stored(4, sums[0], kVectorBytes);
      _tile_zero(5);
      if constexpr (kLoad) _tile_loadd(3, weights[1], kVectorBytes);
      _tile_dpbsud(5, 0, 3);
      _tile_stored(5, sums[1], kVectorBytes);
    } else {
      _tile_loadd(1, x, kRowBytes);
      _tile_zero(6);
      if constexpr (kLoad) _tile_loadd(2, weights[0], kVectorBytes);
      _tile_dpbsud(6, 1, 2);
      _tile_stored(6, sums[0], kVectorBytes);
      _tile_zero(7);
      if constexpr (kLoad) _tile_loadd(3, weights[1], kVectorBytes);
      _tile_dpbsud(7, 1, 3);
      _tile_stored(7, sums[1], kVectorBytes);
    }
  }

  /// Adds the blocks to the totals of kRows rows of the strip that begins at `strip`, from its row `first` on.
  template <int kRows>
  void add_rows(int64_t strip, int first) {
    for (int t = 0; t < kTiles; ++t) {
      __m512 total[kRows];
#pragma GCC unroll 16
      for (int r = 0; r < kRows; ++r) total[r] = first_block_ == 0 ? _mm512_setzero_ps() : _mm512_loadu_ps(totals_[strip + first + r][t]);
      for (int b = 0; b < num_blocks_; ++b) {
        const uint8_t* block = weights_at(b, t);
        const X* x = x_at(b, strip + first);
        add_group<kRows, 0>(b, t, first, Shape::load_scale(block, 0), x, total);
        if constexpr (Shape::kGroups == 2) add_group<kRows, 1>(b, t, first, Shape::load_scale(block, 1), x, total);
        if constexpr (F.has_min) {
          const __m512 min = Shape::load_scale(block, Shape::kGroups);
#pragma GCC unroll 16
          for (int r = 0; r < kRows; ++r) total[r] = _mm512_fmadd_ps(min, _mm512_set1_ps(x[r].scaled_sum), total[r]);
        }
      }
#pragma GCC unroll 16
      for (int r = 0; r < kRows; ++r) _mm512_storeu_ps(totals_[strip + first + r][t], total[r]);
    }
  }
  template <int kRows, int kGroup>
  void add_group(int block, int t, int first, __m512 scale, const X* x, __m512* total) const {
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      const __m512 sum = _mm512_cvtepi32_ps(row_sums<kGroup>(block, t, first + r, x[r]));
      total[r] = _mm512_fmadd_ps(sum, _mm512_mul_ps(_mm512_set1_ps(x[r].scale), scale), total[r]);
    }
  }
  template <int kGroup>
  __m512i row_sums(int block, int t, int row, const X& x) const {
    __m512i sums = _mm512_loadu_si512(sums_[block][kGroup][0][t] + row * kLanes);
    if constexpr (X::kPlanes == 2) {
      sums = _mm512_add_epi32(_mm512_slli_epi32(sums, 8), _mm512_loadu_si512(sums_[block][kGroup][1][t] + row * kLanes));
    }
    if constexpr (F.offset != 0) {
      const int32_t x_sum = kGroup == 1 ? x.second_sum : Shape::kGroups == 2 ? x.sum - x.second_sum : x.sum;
      sums = _mm512_sub_epi32(sums, _mm512_set1_epi32(x_sum * -F.offset));
    }
    return sums;
  }

  const LinearTask& task_;
  const uint8_t* const weights_[kTiles];
  int64_t first_block_ = 0;  // of those at work
  int num_blocks_ = 0;
  alignas(64) uint8_t codes_[kMostBlocks][kTiles][kBlockColumns * kLanes];
  alignas(64) Sums sums_[kMostBlocks][Shape::kGroups][X::kPlanes][kTiles];
  alignas(64) float totals_[kPanelRows][kTiles][kLanes];
};

template <DType kDType, class X>
void multiply_by_tiles(const LinearTask& task) {
  constexpr QuantFormat kFormat = quant_format(kDType);
  if (task.num_rows < kFewestRows) return vnni_linear_kernels().multiply(kDType, X::kPlanes == 2)(task);
  configure_tiles(kFormat.group_columns, static_cast<int>(task.num_rows % kStripRows));
  for (int64_t tile = 0; tile < task.num_tiles; tile += kTiles) {
    const int64_t second = tile + 1 < task.num_tiles ? tile + 1 : tile;  // an odd last one is computed twice
    for (int64_t row = 0; row < task.num_rows; ++row) {
      for (int t = 0; t < kTiles; ++t) __builtin_prefetch(task.out + row * task.out_stride + (tile + t) * kLanes, 1);
    }
    PairProduct<kFormat, X> product(task, task.tiles + static_cast<size_t>(tile) * task.tile_bytes,
                                    task.tiles + static_cast<size_t>(second) * task.tile_bytes);
    product.compute();
    for (int64_t row = 0; row < task.num_rows; ++row) {
      for (int t = 0; t < kTiles && tile + t < task.num_tiles; ++t) store_results<ByteDotVector>(task, tile + t, row, product.total(row, t));
    }
  }
  _tile_release();
}

MultiplyFunction choose_amx_multiply(DType dtype, bool fine) {
  return for_dtype(dtype, [dtype, fine](auto type) -> MultiplyFunction {
    if constexpr (quant_format(type.value).code_bits == 0) return vnni_linear_kernels().multiply(dtype, fine);
    else return fine ? &multiply_by_tiles<type.value, PlaneBlock> : &multiply_by_tiles<type.value, ByteBlock>;
  });
}

LinearKernels make_amx_kernels() {
  LinearKernels kernels = vnni_linear_kernels();
  kernels.multiply = &choose_amx_multiply;
  return kernels;
}

}  // namespace

const LinearKernels& amx_linear_kernels() {
  static const LinearKernels kernels = make_amx_kernels();
  return kernels;
}

}  // namespace terrace
