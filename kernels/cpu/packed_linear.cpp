#include "kernels/cpu/packed_linear.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "kernels/base/error.h"
#include "kernels/base/half.h"

namespace terrace {
namespace {

/// Where the parts of a block lie in a tile.
struct BlockLayout {
  QuantFormat format;
  CodeLayout codes = CodeLayout::kQuads;
  int tile_rows = 0;

  size_t code_bytes() const { return static_cast<size_t>(tile_rows) * (codes == CodeLayout::kNibbles ? 16 : 32); }
  size_t scale_bytes() const { return static_cast<size_t>(tile_rows) * (format.f16_scales ? 2 : 4); }
  int groups() const { return kBlockColumns / format.group_columns; }
  size_t bytes() const { return code_bytes() + scale_bytes() * static_cast<size_t>(groups() + (format.has_min ? 1 : 0)); }
};

BlockLayout make_block_layout(DType dtype, Activation activation, int tile_rows) {
  const QuantFormat format = quant_format(dtype);
  const bool pairs = format.code_bits == 8 && activation != Activation::kBytes && activation != Activation::kPlanes;
  const CodeLayout codes = pairs ? CodeLayout::kPairs : format.code_bits == 4 ? CodeLayout::kNibbles : CodeLayout::kQuads;
  return {format, codes, tile_rows};
}

Activation choose_activation(DType dtype, bool fine, bool byte_dot) {
  const int code_bits = quant_format(dtype).code_bits;
  if (code_bits == 0) return Activation::kFloat;
  if (byte_dot) return fine ? Activation::kPlanes : Activation::kBytes;
  if (fine) return Activation::kWide16;
  return code_bits == 8 ? Activation::kWide8 : Activation::kBytes;
}

void put_scale(const BlockLayout& layout, uint8_t* scales, int row, float value) {
  if (layout.format.f16_scales) {
    const uint16_t half = float_to_f16(value);
    std::memcpy(scales + row * 2, &half, sizeof half);
  } else {
    std::memcpy(scales + row * 4, &value, sizeof value);
  }
}

template <typename Word>
Word load(const uint8_t* from) {
  Word word;
  std::memcpy(&word, from, sizeof word);
  return word;
}

/// Puts one row's codes of a group, whose first column is `first_col` of the block, where linear_kernels.h wants them.
void put_codes(const BlockLayout& layout, uint8_t* block, int row, int first_col, const QuantGroup& group) {
  const int columns = layout.format.group_columns;
  const auto store = [&](int vector, auto word) {
    std::memcpy(block + static_cast<size_t>(vector * layout.tile_rows + row) * sizeof word, &word, sizeof word);
  };
  switch (layout.codes) {
    case CodeLayout::kNibbles:  // only formats whose groups are whole blocks
      for (int v = 0; v < 4; ++v) store(v, load<uint32_t>(group.codes + 4 * v) | load<uint32_t>(group.codes + 16 + 4 * v) << 4);
      break;
    case CodeLayout::kQuads:
      for (int v = 0; v < columns / 4; ++v) store(first_col / 4 + v, load<uint32_t>(group.codes + 4 * v));
      break;
    case CodeLayout::kPairs:  // 8-bit codes: offset -128 is the upper bit flipped
      for (int v = 0; v < 16; ++v) {
        const uint8_t* first = group.codes + v / 2 * 4 + v % 2;
        store(v, static_cast<uint16_t>((first[0] | first[2] << 8) ^ 0x8080));
      }
      break;
  }
}

void put_group(const BlockLayout& layout, uint8_t* block, int row, int first_col, const QuantGroup& group) {
  put_codes(layout, block, row, first_col, group);
  uint8_t* scales = block + layout.code_bytes();
  put_scale(layout, scales + layout.scale_bytes() * static_cast<size_t>(first_col / layout.format.group_columns), row, group.scale);
  if (layout.format.has_min) put_scale(layout, scales + layout.scale_bytes() * static_cast<size_t>(layout.groups()), row, group.min);
}

void pack_quantized_row(const BlockLayout& layout, const HostMatrix& matrix, const std::byte* data, int row_in_tile, uint8_t* tile) {
  for (int64_t col = 0; col < matrix.cols; col += layout.format.group_columns) {
    put_group(layout, tile + static_cast<size_t>(col / kBlockColumns) * layout.bytes(), row_in_tile,
              static_cast<int>(col % kBlockColumns), read_group(matrix.dtype, data, matrix.first_col + col));
  }
}

void pack_float_row(const HostMatrix& matrix, const std::byte* data, int row_in_tile, int tile_rows, uint8_t* tile) {
  const size_t element = dtype_info(matrix.dtype).block_bytes;
  for (int64_t col = 0; col < matrix.cols; ++col) {
    std::memcpy(tile + static_cast<size_t>(col * tile_rows + row_in_tile) * element,
                data + static_cast<size_t>(matrix.first_col + col) * element, element);
  }
}

/// How a matrix is divided into tiles.
struct Tiling {
  int64_t num_tiles = 0;
  int64_t num_blocks = 0;
  size_t tile_bytes = 0;
};

Tiling make_tiling(DType dtype, int64_t rows, int64_t cols, Activation activation, int tile_rows) {
  const int64_t num_tiles = (rows + tile_rows - 1) / tile_rows;
  if (activation == Activation::kFloat) return {num_tiles, cols, static_cast<size_t>(cols * tile_rows) * dtype_info(dtype).block_bytes};
  const int64_t num_blocks = (cols + kBlockColumns - 1) / kBlockColumns;
  return {num_tiles, num_blocks, static_cast<size_t>(num_blocks) * make_block_layout(dtype, activation, tile_rows).bytes()};
}

void check(const HostMatrix& matrix) {
  const int group = std::max(quant_format(matrix.dtype).code_bits == 0 ? 1 : quant_format(matrix.dtype).group_columns, 1);
  if (matrix.rows < 1 || matrix.cols < 1 || matrix.first_col % group != 0 || matrix.cols % group != 0) {
    throw Error(ErrorCode::kModelUnsupported,
                fmt::format("a {} matrix cannot be cut to {} rows and columns {} to {}: columns go in groups of {}",
                            dtype_info(matrix.dtype).name, matrix.rows, matrix.first_col, matrix.first_col + matrix.cols, group));
  }
}

}  // namespace

size_t PackedLinear::packed_bytes(DType dtype, int64_t rows, int64_t cols, const PackOptions& options, const LinearKernels& kernels) {
  const Activation activation = choose_activation(dtype, options.fine_activations, kernels.byte_dot);
  const Tiling tiling = make_tiling(dtype, rows, cols, activation, kernels.tile_rows);
  return static_cast<size_t>(tiling.num_tiles) * tiling.tile_bytes;
}

PackedLinear::PackedLinear(const HostMatrix& matrix, const PackOptions& options, const LinearKernels& kernels, ThreadPool& pool,
                           WeightArena& arena)
    : dtype_(matrix.dtype),
      rows_(matrix.rows),
      cols_(matrix.cols),
      activation_(choose_activation(matrix.dtype, options.fine_activations, kernels.byte_dot)),
      multiply_(kernels.multiply(matrix.dtype, options.fine_activations)) {
  check(matrix);
  const int tile_rows = kernels.tile_rows;
  const BlockLayout layout = make_block_layout(dtype_, activation_, tile_rows);
  const Tiling tiling = make_tiling(dtype_, rows_, cols_, activation_, tile_rows);
  num_tiles_ = tiling.num_tiles;
  num_blocks_ = tiling.num_blocks;
  tile_bytes_ = tiling.tile_bytes;
  tiles_ = arena.allocate(bytes());
  pool.parallel_for(num_tiles_, (num_tiles_ + 4 * pool.num_threads() - 1) / (4 * pool.num_threads()), [&](int64_t begin, int64_t end) {
    for (int64_t tile = begin; tile < end; ++tile) {
      uint8_t* out = tiles_.get() + static_cast<size_t>(tile) * tile_bytes_;
      for (int64_t row = tile * tile_rows; row < std::min(rows_, (tile + 1) * tile_rows); ++row) {
        const std::byte* data = matrix.data + static_cast<size_t>(row) * matrix.row_bytes;
        const int row_in_tile = static_cast<int>(row - tile * tile_rows);
        if (activation_ == Activation::kFloat) pack_float_row(matrix, data, row_in_tile, tile_rows, out);
        else pack_quantized_row(layout, matrix, data, row_in_tile, out);
      }
    }
  });
}

}  // namespace terrace
