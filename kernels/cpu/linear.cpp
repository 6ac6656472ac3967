#include "kernels/cpu/linear.h"

#include <algorithm>

#include "kernels/base/error.h"
#include "kernels/cpu/packed_linear.h"

namespace terrace {
namespace {

constexpr int64_t kUnitTiles = 2;           // that the kernels multiply side by side
constexpr int64_t kItemsPerThread = 4;      // at least, so that a thread which is held up costs a quarter of its share
constexpr int64_t kItemProducts = 4 << 20;  // more items only where these hold more: in a long run, prefetching reaches the next tiles

size_t block_bytes(Activation activation) { return activation == Activation::kBytes ? sizeof(ByteBlock) : sizeof(PlaneBlock); }
static_assert(sizeof(PlaneBlock) == sizeof(WideBlock));

const PackedLinear& packed(const LinearOutput& output) { return static_cast<const PackedLinear&>(*output.weight); }

void check(MatrixView x, const LinearOutput& output) {
  if (output.weight->cols() != x.cols || output.out.cols != output.weight->rows() || output.out.rows != x.rows) {
    throw Error(ErrorCode::kInternal, "linear: the shapes of x, weight and out do not fit");
  }
}

/// The rows of a call, cut into panels of like size.
struct Panels {
  int64_t all_rows;
  int64_t count = (all_rows + kPanelRows - 1) / kPanelRows;
  int64_t most_rows = (all_rows + count - 1) / count;  // of one panel

  explicit Panels(int64_t rows) : all_rows(rows) {}
  int64_t panel_of(int64_t row) const { return row / most_rows; }
  int64_t first_row(int64_t panel) const { return panel * most_rows; }
  int64_t num_rows(int64_t panel) const { return std::min(most_rows, all_rows - first_row(panel)); }
};

/// One call of linear(), cut into items: a panel of x's rows by a run of tiles. All outputs' tiles count as one row of units, of two
/// neighbouring tiles of an output each, and a panel's items share them out evenly; so an item may go over from an output to the next.
struct Items {
  std::span<const LinearOutput> outputs;
  int64_t units = 0;
  int64_t per_panel = 0;

  Items(std::span<const LinearOutput> all_outputs, const Panels& panels, int64_t cols, int num_threads) : outputs(all_outputs) {
    int64_t num_outputs = 0;
    for (const LinearOutput& output : outputs) {
      units += units_of(output);
      num_outputs += output.out.cols;
    }
    const int64_t wanted = std::max(panels.all_rows * cols * num_outputs / kItemProducts, num_threads * kItemsPerThread);
    per_panel = std::clamp<int64_t>((wanted + panels.count - 1) / panels.count, 1, units);
  }
  static int64_t units_of(const LinearOutput& output) { return (packed(output).num_tiles() + kUnitTiles - 1) / kUnitTiles; }

  /// Calls body(output, first_tile, num_tiles) for each output that item `index` of a panel touches.
  template <class Body>
  void for_each_run(int64_t index, Body body) const {
    int64_t begin = index * units / per_panel;
    int64_t end = (index + 1) * units / per_panel;
    for (const LinearOutput& output : outputs) {
      const int64_t here = units_of(output);
      if (begin < here && end > 0) {
        const int64_t first = std::max<int64_t>(begin, 0) * kUnitTiles;
        body(output, first, std::min(std::min(end, here) * kUnitTiles, packed(output).num_tiles()) - first);
      }
      begin -= here;
      end -= here;
    }
  }
};

}  // namespace

const LinearKernels& linear_kernels(Isa isa) {
  if (isa >= Isa::kAmx) return amx_linear_kernels();
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
  const Panels panels(x.rows);
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
    const size_t block = block_bytes(activation);
    pool_.parallel_for(x.rows, 8, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        const int64_t panel = panels.panel_of(row);
        const int64_t first = panels.first_row(panel);
        unsigned char* blocks = scratch.data() + static_cast<size_t>(first) * row_bytes + static_cast<size_t>(row - first) * block;
        kernels_.quantize[index](x.row(row), x.cols, blocks, panels.num_rows(panel));
      }
    });
  }
}

void LinearOps::multiply(const LinearOutput& output, const RowRange& rows, int64_t first_tile, int64_t num_tiles) {
  const PackedLinear& weight = packed(output);
  const Rows& x = rows_[static_cast<size_t>(weight.activation())];
  const int64_t first_output = first_tile * kernels_.tile_rows;
  weight.multiply()({
      .tiles = weight.tiles() + static_cast<size_t>(first_tile) * weight.tile_bytes(),
      .tile_bytes = weight.tile_bytes(),
      .num_tiles = num_tiles,
      .num_blocks = weight.num_blocks(),
      .num_outputs = std::min(num_tiles * kernels_.tile_rows, weight.rows() - first_output),
      .x = x.data + static_cast<size_t>(rows.first) * x.row_bytes,
      .x_row_bytes = x.row_bytes,
      .num_rows = rows.count,
      .out = output.out.row(rows.first) + first_output,
      .out_stride = output.out.stride,
      .bias = output.bias == nullptr ? nullptr : output.bias + first_output,
  });
}

void LinearOps::run(MatrixView x, std::span<const LinearOutput> outputs) {
  for (const LinearOutput& output : outputs) check(x, output);
  if (x.rows == 0 || outputs.empty()) return;
  quantize(x, outputs);
  const Panels panels(x.rows);
  const Items items(outputs, panels, x.cols, pool_.num_threads());
  pool_.parallel_for(panels.count * items.per_panel, 1, [&](int64_t item, int64_t) {
    const int64_t panel = item / items.per_panel;
    const RowRange rows = {panels.first_row(panel), panels.num_rows(panel)};
    items.for_each_run(item % items.per_panel, [&](const LinearOutput& output, int64_t first_tile, int64_t num_tiles) {
      multiply(output, rows, first_tile, num_tiles);
    });
  });
}

void LinearOps::run_pair(MatrixView x, const LinearOutput& a, const LinearOutput& b, FunctionRef<void(const Part&)> finish) {
  const LinearOutput outputs[] = {a, b};
  for (const LinearOutput& output : outputs) check(x, output);
  if (a.out.cols != b.out.cols) throw Error(ErrorCode::kInternal, "linear: a pair of outputs of different widths");
  if (x.rows == 0) return;
  quantize(x, outputs);
  const Panels panels(x.rows);
  const Items items({outputs, 1}, panels, 2 * x.cols, pool_.num_threads());
  pool_.parallel_for(panels.count * items.per_panel, 1, [&](int64_t item, int64_t) {
    const int64_t panel = item / items.per_panel;
    const RowRange rows = {panels.first_row(panel), panels.num_rows(panel)};
    items.for_each_run(item % items.per_panel, [&](const LinearOutput&, int64_t first_tile, int64_t num_tiles) {
      for (const LinearOutput& output : outputs) multiply(output, rows, first_tile, num_tiles);
      const int64_t first_col = first_tile * kernels_.tile_rows;
      finish({rows.first, rows.count, first_col, std::min(num_tiles * kernels_.tile_rows, a.out.cols - first_col)});
    });
  });
}

}  // namespace terrace
