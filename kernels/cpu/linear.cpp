#include "kernels/cpu/linear.h"

#include <algorithm>

#include "kernels/base/error.h"
#include "kernels/cpu/packed_linear.h"

namespace terrace {
namespace {

// Rows of x that stay in the L2 cache while the tiles of an item pass over them.
constexpr size_t kChunkBytes = 128 << 10;
constexpr int64_t kRowsPerMultiply = 4;  // as linear_tile.h takes them at most
constexpr int64_t kTilesPerMultiply = 4;  // of plain floats
constexpr int64_t kItemsPerThread = 4;   // so that a thread which is held up costs a quarter of its share

size_t block_bytes(Activation activation) { return activation == Activation::kBytes ? sizeof(ByteBlock) : sizeof(PlaneBlock); }
static_assert(sizeof(PlaneBlock) == sizeof(WideBlock));

const PackedLinear& packed(const LinearOutput& output) { return static_cast<const PackedLinear&>(*output.weight); }

void check(MatrixView x, const LinearOutput& output) {
  if (output.weight->cols() != x.cols || output.out.cols != output.weight->rows() || output.out.rows != x.rows) {
    throw Error(ErrorCode::kInternal, "linear: the shapes of x, weight and out do not fit");
  }
}

/// One call of linear(): items are chunks of x's rows by runs of an output's tiles.
struct Items {
  std::span<const LinearOutput> outputs;
  int64_t tiles_per_item = 1;
  int64_t items_per_chunk = 0;

  Items(std::span<const LinearOutput> all_outputs, int num_threads) : outputs(all_outputs) {
    int64_t num_tiles = 0;
    for (const LinearOutput& output : outputs) num_tiles += packed(output).num_tiles();
    tiles_per_item = std::max<int64_t>(1, num_tiles / (num_threads * kItemsPerThread));
    if (tiles_per_item > kTilesPerMultiply) tiles_per_item -= tiles_per_item % kTilesPerMultiply;
    for (const LinearOutput& output : outputs) items_per_chunk += count(output);
  }
  int64_t count(const LinearOutput& output) const { return (packed(output).num_tiles() + tiles_per_item - 1) / tiles_per_item; }
};

}  // namespace

const LinearKernels& linear_kernels(Isa isa) {
  if (isa >= Isa::kVnni) return vnni_linear_kernels();
  if (isa >= Isa::kAvx512) return avx512_linear_kernels();
  return isa >= Isa::kAvx2 ? avx2_linear_kernels() : scalar_linear_kernels();
}

std::unique_ptr<Weight> LinearOps::pack(const HostMatrix& matrix, const PackOptions& options) {
  return std::make_unique<PackedLinear>(matrix, options, kernels_, pool_, arena_);
}

size_t LinearOps::packed_bytes(DType dtype, int64_t rows, int64_t cols, const PackOptions& options) const {
  return PackedLinear::packed_bytes(dtype, rows, cols, options, kernels_);
}

void LinearOps::quantize(MatrixView x, std::span<const LinearOutput> outputs) {
  for (Rows& rows : rows_) rows = {};
  const int64_t num_blocks = (x.cols + kBlockColumns - 1) / kBlockColumns;
  for (const LinearOutput& output : outputs) {
    const Activation activation = packed(output).activation();
    const auto index = static_cast<size_t>(activation);
    Rows& rows = rows_[index];
    if (rows.data != nullptr) continue;
    if (activation == Activation::kFloat) {
      rows = {reinterpret_cast<const uint8_t*>(x.data), static_cast<size_t>(x.stride) * sizeof(float)};
      continue;
    }
    const size_t row_bytes = static_cast<size_t>(num_blocks) * block_bytes(activation);
    std::vector<unsigned char>& scratch = scratch_[index];
    if (scratch.size() < row_bytes * static_cast<size_t>(x.rows)) scratch.resize(row_bytes * static_cast<size_t>(x.rows));
    rows = {scratch.data(), row_bytes};
    pool_.parallel_for(x.rows, 8, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        kernels_.quantize[index](x.row(row), x.cols, scratch.data() + static_cast<size_t>(row) * row_bytes);
      }
    });
  }
}

void LinearOps::run(MatrixView x, std::span<const LinearOutput> outputs) {
  for (const LinearOutput& output : outputs) check(x, output);
  if (x.rows == 0 || outputs.empty()) return;
  quantize(x, outputs);
  size_t row_bytes = 1;
  for (const Rows& rows : rows_) row_bytes = std::max(row_bytes, rows.row_bytes);
  const int64_t chunk_rows = std::max<int64_t>(kChunkBytes / row_bytes / kRowsPerMultiply, 4) * kRowsPerMultiply;
  const int64_t num_chunks = (x.rows + chunk_rows - 1) / chunk_rows;
  const Items items(outputs, pool_.num_threads());
  const auto multiply = [&](int64_t item) {
    const int64_t first_row = item / items.items_per_chunk * chunk_rows;
    int64_t index = item % items.items_per_chunk;
    const LinearOutput* output = outputs.data();
    for (; index >= items.count(*output); ++output) index -= items.count(*output);
    const PackedLinear& weight = packed(*output);
    const Rows& rows = rows_[static_cast<size_t>(weight.activation())];
    const int64_t first_tile = index * items.tiles_per_item;
    const int64_t first_output = first_tile * kernels_.tile_rows;
    weight.multiply()({
        .tiles = weight.tiles() + static_cast<size_t>(first_tile) * weight.tile_bytes(),
        .tile_bytes = weight.tile_bytes(),
        .num_tiles = std::min(items.tiles_per_item, weight.num_tiles() - first_tile),
        .num_blocks = weight.num_blocks(),
        .num_outputs = std::min(items.tiles_per_item * kernels_.tile_rows, weight.rows() - first_output),
        .x = rows.data + static_cast<size_t>(first_row) * rows.row_bytes,
        .x_row_bytes = rows.row_bytes,
        .num_rows = std::min(chunk_rows, x.rows - first_row),
        .out = output->out.row(first_row) + first_output,
        .out_stride = output->out.stride,
        .bias = output->bias == nullptr ? nullptr : output->bias + first_output,
    });
  };
  pool_.parallel_for(num_chunks * items.items_per_chunk, 1, [&](int64_t begin, int64_t) { multiply(begin); });
}

}  // namespace terrace
