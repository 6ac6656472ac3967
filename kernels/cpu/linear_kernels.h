// What linear() shares with its ISA-specific files: the packed layouts of weights and activations, and the table of functions that
// each ISA offers. Plain data only: this header is compiled for every ISA.
//
// Weights lie in tiles of `tile_rows` output features. A tile is a row of blocks, one for each 32 columns; a block holds
//   codes   kNibbles  4 vectors; byte 4 r + c of vector v: columns 4 v + c (low nibble) and 16 + 4 v + c (high) of the tile's row r
//           kQuads    8 vectors; byte 4 r + c of vector v: column 4 v + c
//           kPairs   16 vectors; byte 2 r + c of vector v: column 4 (v / 2) + v % 2 + 2 c, as code + offset in int8
//   scales  [32 / group_columns][tile_rows] f16 or float
//   mins    [tile_rows] likewise, where the format has them
// Tiles of plain floats hold for each column its `tile_rows` elements.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/quant_block.h"

namespace terrace {

inline constexpr int kBlockColumns = 32;
/// Rows of x that meet a block of weights while it stays in registers. Their sums, and the panel's part of x, stay in the L1 cache.
inline constexpr int64_t kPanelRows = 64;
/// Where weights are made bfloat16 first, more rows must share them. A panel of PairBlocks is strips of kStripRows rows, the last padded with any.
inline constexpr int64_t kPairPanelRows = 512;
inline constexpr int64_t kStripRows = 16;

/// 32 activations of one row, quantised: value = code * scale. The sums are of codes.
struct ByteBlock {
  static constexpr bool kWide = false;
  static constexpr int kPlanes = 1;
  int8_t codes[32];
  float scale;
  float scaled_sum;  // scale * float(sum)
  int32_t sum;
  int32_t second_sum;  // of the last 16 columns
};

/// 16-bit codes as two bytes: code = 256 * high + low; for ISAs whose byte products sum up in 32 bits at once.
struct PlaneBlock {
  static constexpr bool kWide = false;
  static constexpr int kPlanes = 2;
  int8_t high[32];
  int8_t low[32];
  float scale;
  float scaled_sum;
  int32_t sum;
  int32_t second_sum;
};

/// Codes of 8 or 16 bits in 16. The columns of each four stand in the order 0 2 1 3: so pairs of them meet the even and the odd bytes of
/// a vector of weights, which are quick to take apart.
struct WideBlock {
  static constexpr bool kWide = true;
  static constexpr int kPlanes = 1;
  int16_t codes[32];
  float scale;
  float scaled_sum;
  int32_t sum;
  int32_t second_sum;
};

/// 32 activations of one row as bfloat16.
struct PairBlock {
  uint16_t values[32];
};

enum class Activation { kFloat, kBytes, kPlanes, kWide8, kWide16, kPairs };
inline constexpr int kNumActivations = 6;
enum class CodeLayout { kNibbles, kQuads, kPairs };

/// Largest code of a quantised activation. 32639 = 127 * 256 + 127, so that high fits in [-127, 127].
inline constexpr float kMaxCode8 = 127.0f;
inline constexpr float kMaxCode16 = 32639.0f;
/// Blocks whose largest magnitude is below count as zero: 1 / scale must be finite.
inline constexpr float kMinMagnitude = 0x1p-100f;

/// out[i][j] = bias[j] + x[i] * w[j] for all rows of x and some neighbouring tiles.
struct LinearTask {
  const uint8_t* tiles = nullptr;  // the first tile
  size_t tile_bytes = 0;
  int64_t num_tiles = 0;
  int64_t num_blocks = 0;      // of a tile; columns for plain floats
  int64_t num_outputs = 0;     // <= num_tiles * tile_rows: the last tile may be padded
  // A panel: [num_blocks][num_rows] ByteBlock, PlaneBlock or WideBlock; or rows of floats; or strips, each [blocks][kStripRows] PairBlock.
  const uint8_t* x = nullptr;
  size_t x_row_bytes = 0;      // of floats
  int64_t num_rows = 0;        // <= kPanelRows; kPairPanelRows of PairBlocks
  float* out = nullptr;  // [num_rows, num_outputs]
  int64_t out_stride = 0;
  const float* bias = nullptr;  // [num_outputs] or none
};

using MultiplyFunction = void (*)(const LinearTask&);
/// One row, into as many blocks as cols need, the last one padded with zeros, `stride` blocks apart. A block with a NaN or an infinity
/// gets a NaN scale; a PairBlock keeps them.
using QuantizeFunction = void (*)(const float* x, int64_t cols, void* blocks, int64_t stride);

struct LinearKernels {
  int tile_rows = 0;
  // Multiplies unsigned by signed bytes without saturating: 8-bit codes lie in kQuads, fine activations are PlaneBlocks.
  bool byte_dot = false;
  MultiplyFunction (*multiply)(DType dtype, bool fine) = nullptr;
  QuantizeFunction quantize[kNumActivations] = {};  // by Activation; none for kFloat
  // From so many rows on products are of bfloat16 pairs, whatever the weight's activation is (Numerics::kFast); 0: never.
  int64_t fewest_pair_rows = 0;
  MultiplyFunction (*multiply_pairs)(DType dtype) = nullptr;
};

const LinearKernels& scalar_linear_kernels();
const LinearKernels& avx2_linear_kernels();
const LinearKernels& avx512_linear_kernels();
const LinearKernels& vnni_linear_kernels();
const LinearKernels& amx_linear_kernels();
const LinearKernels& amx_pair_linear_kernels();

}  // namespace terrace
