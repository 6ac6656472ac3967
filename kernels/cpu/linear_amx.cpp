// The linear kernels on AMX: a tile register multiplies 16 rows of x by a whole block of a weight tile at once, exactly, so the bits are
// those of VNNI, whose packing it reads. For few rows, and for 8-bit codes times 16-bit activations, VNNI's own kernels serve.
// Only intrinsics that tests/support/kernels/{avx512_by_avx2,amx_by_loops}.h know: tests run this file on machines without AMX through them.

#include <immintrin.h>

#include "kernels/cpu/linear_tile.h"

namespace terrace {
namespace {

/// 16 floats, in the words of linear_tile.h.
struct Wide {
  static constexpr int kLanes = 16;
  static constexpr int kWeightRegisters = 8;
  static constexpr bool kTwoSums = false;
  static constexpr int longest_chain(int) { return 8; }
  using Floats = __m512;
  using Bytes = __m512i;
  static Floats load_floats(const uint8_t* from) { return _mm512_loadu_ps(from); }
  static Floats load_f16(const uint8_t* from) { return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from))); }
  static Floats add_floats(Floats a, Floats b) { return _mm512_add_ps(a, b); }
  static void store(float* out, Floats a) { _mm512_storeu_ps(out, a); }
};

constexpr int kLanes = Wide::kLanes;
constexpr int kStripRows = 16;        // rows of x in a tile register
constexpr int64_t kFewestRows = 6;    // below, VNNI: a tile register costs the same for any number of rows
constexpr int64_t kChunkBlocks = 64;  // unpacked at a time: 32 KiB
constexpr int kBlockBytes = kBlockColumns * kLanes;

// Tile registers. Even and odd blocks take turns, so that the sums of one are used while the next are made; the rows that fill no strip
// have registers of their own height.
constexpr int kTailX = 6, kTailSums = 7;

struct TileConfig {
  uint8_t palette = 1;
  uint8_t start_row = 0;
  uint8_t reserved[14] = {};
  uint16_t row_bytes[16] = {};
  uint8_t rows[16] = {};
};
static_assert(sizeof(TileConfig) == 64);

void configure_tiles(int group_columns, int tail_rows) {
  TileConfig config;
  const auto set = [&config](int tile, int rows, int bytes) {
    config.rows[tile] = static_cast<uint8_t>(rows);
    config.row_bytes[tile] = static_cast<uint16_t>(bytes);
  };
  for (int i = 0; i < 2; ++i) {
    set(i, kStripRows, group_columns);         // x: rows by bytes
    set(2 + i, group_columns / 4, 4 * kLanes); // weights: 4 columns of 16 outputs a row
    set(4 + i, kStripRows, 4 * kLanes);        // sums
  }
  if (tail_rows > 0) {
    set(kTailX, tail_rows, group_columns);
    set(kTailSums, tail_rows, 4 * kLanes);
  }
  asm volatile("" ::"r"(&config) : "memory");  // gcc 12 believes that only 8 bytes of it are read
  _tile_loadconfig(&config);
}

/// sums[row][output] = x's codes * weights, over one group of columns. kTurn: 0 and 1 alternate, 2 is the tail.
template <int kTurn, class X>
void multiply_group(const int8_t* x, const uint8_t* weights, int32_t* sums) {
  asm volatile("" ::: "memory");  // tile loads are no memory accesses in the eyes of gcc
  constexpr long kStride = sizeof(X);  // a panel holds its rows of a block one after another
  if constexpr (kTurn == 0) {
    _tile_zero(4);
    _tile_loadd(0, x, kStride);
    _tile_loadd(2, weights, 4 * kLanes);
    _tile_dpbsud(4, 0, 2);
    _tile_stored(4, sums, 4 * kLanes);
  } else if constexpr (kTurn == 1) {
    _tile_zero(5);
    _tile_loadd(1, x, kStride);
    _tile_loadd(3, weights, 4 * kLanes);
    _tile_dpbsud(5, 1, 3);
    _tile_stored(5, sums, 4 * kLanes);
  } else {
    _tile_zero(7);
    _tile_loadd(6, x, kStride);
    _tile_loadd(2, weights, 4 * kLanes);
    _tile_dpbsud(7, 6, 2);
    _tile_stored(7, sums, 4 * kLanes);
  }
  asm volatile("" ::: "memory");
}

/// A strip: at most 16 rows of a panel of x by one weight tile, some blocks at a time.
template <QuantFormat F, class X>
class Strip {
 public:
  using Shape = BlockShape<Wide, F, X, 1>;

  /// `panel_rows`: of the whole panel, as far as a block is from the next.
  Strip(int num_rows, int64_t panel_rows) : num_rows_(num_rows), panel_rows_(panel_rows) {}

  /// acc[row] += the blocks' products. `tile`, `x`: the first of them; `codes`: the weights', one byte each.
  void add_blocks(const uint8_t* tile, const uint8_t* codes, size_t codes_stride, int64_t num_blocks, const X* x, float (*acc)[kLanes]) {
    if (num_rows_ == kStripRows) return add_full(tile, codes, codes_stride, num_blocks, x, acc);
    for (int64_t b = 0; b < num_blocks; ++b, tile += Shape::kBytes, codes += codes_stride, x += panel_rows_) add_tail(tile, codes, x, acc);
  }

 private:
  static const int8_t* first_plane(const X* x) {
    if constexpr (X::kPlanes == 2) return x->high;
    else return x->codes;
  }

  template <int kTurn, int kGroup>
  void multiply(const uint8_t* codes, const X* x) {
    const uint8_t* weights = codes + kGroup * F.group_columns * kLanes;
    multiply_group<kTurn, X>(first_plane(x) + kGroup * F.group_columns, weights, sums_[kTurn % 2]);
    if constexpr (X::kPlanes == 2) multiply_group<kTurn, X>(x->low + kGroup * F.group_columns, weights, low_sums_[kTurn % 2]);
  }

  template <int kTurn, int kGroup>
  __m512 row_sums(const X& x, int row) const {
    __m512i sums = _mm512_loadu_si512(sums_[kTurn % 2] + row * kLanes);
    if constexpr (X::kPlanes == 2) {
      sums = _mm512_add_epi32(_mm512_slli_epi32(sums, 8), _mm512_loadu_si512(low_sums_[kTurn % 2] + row * kLanes));
    }
    if constexpr (F.offset != 0) {
      const int32_t x_sum = kGroup == 1 ? x.second_sum : Shape::kGroups == 2 ? x.sum - x.second_sum : x.sum;
      sums = _mm512_sub_epi32(sums, _mm512_set1_epi32(x_sum * -F.offset));
    }
    return _mm512_cvtepi32_ps(sums);
  }

  template <int kTurn, int kGroup>
  __m512 add_group(const uint8_t* tile, const X& x, int row, __m512 acc) const {
    return _mm512_fmadd_ps(row_sums<kTurn, kGroup>(x, row), _mm512_mul_ps(_mm512_set1_ps(x.scale), Shape::load_scale(tile, kGroup)), acc);
  }
  static __m512 add_min(const uint8_t* tile, const X& x, __m512 acc) {
    if constexpr (!F.has_min) return acc;
    else return _mm512_fmadd_ps(Shape::load_scale(tile, Shape::kGroups), _mm512_set1_ps(x.scaled_sum), acc);
  }

  template <int kTurn>
  void add_block(const uint8_t* tile, const uint8_t* codes, const X* x, __m512* sum) {
    multiply<kTurn, 0>(codes, x);
#pragma GCC unroll 16
    for (int r = 0; r < kStripRows; ++r) sum[r] = add_group<kTurn, 0>(tile, x[r], r, sum[r]);
    if constexpr (Shape::kGroups == 2) {
      multiply<kTurn, 1>(codes, x);
#pragma GCC unroll 16
      for (int r = 0; r < kStripRows; ++r) sum[r] = add_group<kTurn, 1>(tile, x[r], r, sum[r]);
    }
#pragma GCC unroll 16
    for (int r = 0; r < kStripRows; ++r) sum[r] = add_min(tile, x[r], sum[r]);
  }

  void add_full(const uint8_t* tile, const uint8_t* codes, size_t codes_stride, int64_t num_blocks, const X* x, float (*acc)[kLanes]) {
    __m512 sum[kStripRows];
#pragma GCC unroll 16
    for (int r = 0; r < kStripRows; ++r) sum[r] = _mm512_loadu_ps(acc[r]);
    int64_t b = 0;
    for (; b + 2 <= num_blocks; b += 2) {
      add_block<0>(tile, codes, x, sum);
      add_block<1>(tile + Shape::kBytes, codes + codes_stride, x + panel_rows_, sum);
      tile += 2 * Shape::kBytes;
      codes += 2 * codes_stride;
      x += 2 * panel_rows_;
    }
    if (b < num_blocks) add_block<0>(tile, codes, x, sum);
#pragma GCC unroll 16
    for (int r = 0; r < kStripRows; ++r) _mm512_storeu_ps(acc[r], sum[r]);
  }

  void add_tail(const uint8_t* tile, const uint8_t* codes, const X* x, float (*acc)[kLanes]) {
    multiply<2, 0>(codes, x);
    for (int r = 0; r < num_rows_; ++r) _mm512_storeu_ps(acc[r], add_group<2, 0>(tile, x[r], r, _mm512_loadu_ps(acc[r])));
    if constexpr (Shape::kGroups == 2) {
      multiply<2, 1>(codes, x);
      for (int r = 0; r < num_rows_; ++r) _mm512_storeu_ps(acc[r], add_group<2, 1>(tile, x[r], r, _mm512_loadu_ps(acc[r])));
    }
    for (int r = 0; r < num_rows_; ++r) _mm512_storeu_ps(acc[r], add_min(tile, x[r], _mm512_loadu_ps(acc[r])));
  }

  int num_rows_;
  int64_t panel_rows_;
  alignas(64) int32_t sums_[2][kStripRows * kLanes];
  alignas(64) int32_t low_sums_[X::kPlanes == 2 ? 2 : 1][kStripRows * kLanes];
};

/// Codes of 4 bits to bytes, in the order of kQuads.
void unpack_nibbles(const uint8_t* packed, uint8_t* codes) {
  const __m512i low = _mm512_set1_epi8(15);
  for (int v = 0; v < 4; ++v) {
    const __m512i both = _mm512_loadu_si512(packed + v * 64);
    _mm512_storeu_si512(codes + v * 64, _mm512_and_si512(both, low));
    _mm512_storeu_si512(codes + (4 + v) * 64, _mm512_and_si512(_mm512_srli_epi16(both, 4), low));
  }
}

/// The panel by one tile of weights.
template <QuantFormat F, class X>
void multiply_tile(const LinearTask& task, int64_t tile) {
  using Shape = typename Strip<F, X>::Shape;
  constexpr bool kUnpack = Shape::kLayout == CodeLayout::kNibbles;
  alignas(64) uint8_t unpacked[kUnpack ? kChunkBlocks * kBlockBytes : 1];
  alignas(64) float acc[kPanelRows][kLanes];
  for (int64_t row = 0; row < task.num_rows; ++row) _mm512_storeu_ps(acc[row], _mm512_setzero_ps());
  const uint8_t* weights = task.tiles + static_cast<size_t>(tile) * task.tile_bytes;
  for (int64_t b = 0; b < task.num_blocks; b += kChunkBlocks, weights += kChunkBlocks * Shape::kBytes) {
    const int64_t num_blocks = b + kChunkBlocks < task.num_blocks ? kChunkBlocks : task.num_blocks - b;
    if constexpr (kUnpack) {
      for (int64_t i = 0; i < num_blocks; ++i) unpack_nibbles(weights + i * Shape::kBytes, unpacked + i * kBlockBytes);
    }
    const uint8_t* codes = kUnpack ? unpacked : weights;
    const size_t codes_stride = kUnpack ? kBlockBytes : Shape::kBytes;
    const X* x = reinterpret_cast<const X*>(task.x) + b * task.num_rows;
    for (int64_t row = 0; row < task.num_rows; row += kStripRows) {
      const int64_t rows = task.num_rows - row < kStripRows ? task.num_rows - row : kStripRows;
      Strip<F, X>(static_cast<int>(rows), task.num_rows).add_blocks(weights, codes, codes_stride, num_blocks, x + row, acc + row);
    }
  }
  for (int64_t row = 0; row < task.num_rows; ++row) store_results<Wide>(task, tile, row, _mm512_loadu_ps(acc[row]));
}

template <DType kDType, class X>
void multiply_by_tiles(const LinearTask& task) {
  constexpr QuantFormat kFormat = quant_format(kDType);
  if (task.num_rows < kFewestRows) return vnni_linear_kernels().multiply(kDType, X::kPlanes == 2)(task);
  configure_tiles(kFormat.group_columns, static_cast<int>(task.num_rows % kStripRows));
  for (int64_t tile = 0; tile < task.num_tiles; ++tile) multiply_tile<kFormat, X>(task, tile);
  _tile_release();
}

template <DType kDType>
MultiplyFunction choose_by_tiles(bool fine) {
  if constexpr (quant_format(kDType).code_bits == 8) {
    return fine ? vnni_linear_kernels().multiply(kDType, true) : &multiply_by_tiles<kDType, ByteBlock>;
  } else {
    return fine ? &multiply_by_tiles<kDType, PlaneBlock> : &multiply_by_tiles<kDType, ByteBlock>;
  }
}

MultiplyFunction choose_amx_multiply(DType dtype, bool fine) {
  switch (dtype) {
    case DType::kQ4_0: return choose_by_tiles<DType::kQ4_0>(fine);
    case DType::kQ4_1: return choose_by_tiles<DType::kQ4_1>(fine);
    case DType::kQ5_0: return choose_by_tiles<DType::kQ5_0>(fine);
    case DType::kQ5_1: return choose_by_tiles<DType::kQ5_1>(fine);
    case DType::kQ8_0: return choose_by_tiles<DType::kQ8_0>(fine);
    case DType::kQ4_K: return choose_by_tiles<DType::kQ4_K>(fine);
    case DType::kQ5_K: return choose_by_tiles<DType::kQ5_K>(fine);
    case DType::kQ6_K: return choose_by_tiles<DType::kQ6_K>(fine);
    case DType::kF32:
    case DType::kF16:
    case DType::kBF16: break;
  }
  return vnni_linear_kernels().multiply(dtype, fine);
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
