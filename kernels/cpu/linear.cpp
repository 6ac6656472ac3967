#include "kernels/cpu/linear.h"

#include <algorithm>

#include "kernels/base/error.h"
#include "kernels/cpu/packed_linear.h"

namespace terrace {
namespace {

constexpr int64_t kUnitTiles = 2;           // that the kernels multiply side by side
constexpr int64_t kItemsPerThread = 4;      // at least, so that a thread which is held up costs a quarter of its share
constexpr int64_t kItemProducts = 4 << 20;  // more items only where these hold more: in a long run, prefetching reaches the next tiles

size_t block_bytes(Activation activation) {
  if (activation == Activation::kPairs) return sizeof(PairBlock);
  return activation == Activation::kBytes ? sizeof(ByteBlock) : sizeof(PlaneBlock);
}
static_assert(sizeof(PlaneBlock) == sizeof(WideBlock));

const PackedLinear& packed(const LinearOutput& output) { return static_cast<const PackedLinear&>(*output.weight); }

void check(MatrixView x, const LinearOutput& output) {
  if (output.weight->cols() != x.cols || output.out.cols != output.weight->rows() || output.out.rows != x.rows) {
    throw Error(ErrorCode::kInternal, "linear: the shapes of x, weight and out do not fit");
  }
}

}  // namespace

/// The rows of a call, cut into panels of like size.
struct LinearOps::Panels {
  bool pairs;  // of bfloat16, in strips
  int64_t all_rows;
  int64_t count = 0;
  int64_t most_rows = 0;  // of one panel

  Panels(int64_t rows, bool as_pairs, int64_t num_threads) : pairs(as_pairs), all_rows(rows) {
    const int64_t most = pairs ? kPairPanelRows : kPanelRows;
    const int64_t multiple = pairs ? kStripRows : 1;
    count = (rows + most - 1) / most;
    if (pairs) count = std::max(count, std::min(num_threads, rows / kPairPanelRows * 2));  // a thread's rows stay in its caches
    most_rows = ((rows + count - 1) / count + multiple - 1) / multiple * multiple;
    count = (rows + most_rows - 1) / most_rows;
  }
  int64_t first_row(int64_t panel) const { return panel * most_rows; }
  int64_t num_rows(int64_t panel) const { return std::min(most_rows, all_rows - first_row(panel)); }

  Activation activation(const PackedLinear& weight) const { return pairs ? Activation::kPairs : weight.activation(); }

  /// Rows whose blocks lie together: `count` blocks of each column of blocks, of which `first` is the first's row.
  struct Together {
    int64_t first, count;
  };
  Together together_with(int64_t row) const {
    if (pairs) return {row / kStripRows * kStripRows, kStripRows};
    const int64_t panel = row / most_rows;
    return {first_row(panel), num_rows(panel)};
  }
};

namespace {

/// One call of linear(), cut into items: a panel of x's rows by a run of tiles. All outputs' tiles count as one row of units, of two
/// neighbouring tiles of an output each, and a panel's items share them out evenly; so an item may go over from an output to the next.
struct Items {
  std::span<const LinearOutput> outputs;
  int64_t units = 0;
  int64_t per_panel = 0;

  Items(std::span<const LinearOutput> all_outputs, int64_t num_rows, int64_t num_panels, int64_t cols, int num_threads) : outputs(all_outputs) {
    int64_t num_outputs = 0;
    for (const LinearOutput& output : outputs) {
      units += units_of(output);
      num_outputs += output.out.cols;
    }
    const int64_t wanted = std::max(num_rows * cols * num_outputs / kItemProducts, num_threads * kItemsPerThread);
    per_panel = std::clamp<int64_t>((wanted + num_panels - 1) / num_panels, 1, units);
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

const LinearKernels& linear_kernels(Isa isa, Numerics numerics) {
  if (isa >= Isa::kAmx) return numerics == Numerics::kFast && has_amx_bf16() ? amx_pair_linear_kernels() : amx_linear_kernels();
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

LinearOps::Panels LinearOps::make_panels(int64_t num_rows) const {
  return Panels(num_rows, kernels_.fewest_pair_rows > 0 && num_rows >= kernels_.fewest_pair_rows, pool_.num_threads());
}

uint8_t* LinearOps::scratch_of(Activation activation, size_t bytes) {
  Scratch& scratch = scratch_[static_cast<size_t>(activation)];
  if (scratch.bytes < bytes) {
    scratch.bytes = std::max(bytes, 2 * scratch.bytes);
    scratch.memory = WeightArena().allocate(scratch.bytes);  // in huge pages, a chunk of its own
  }
  return scratch.memory.get();
}

void LinearOps::quantize(MatrixView x, const Panels& panels, std::span<const LinearOutput> outputs) {
  for (Rows& rows : rows_) rows = {};
  const int64_t num_blocks = (x.cols + kBlockColumns - 1) / kBlockColumns;
  for (const LinearOutput& output : outputs) {
    const Activation activation = panels.activation(packed(output));
    const auto index = static_cast<size_t>(activation);
    Rows& rows = rows_[index];
    if (rows.data != nullptr) continue;
    if (activation == Activation::kFloat) {
      rows = {reinterpret_cast<const uint8_t*>(x.data), static_cast<size_t>(x.stride) * sizeof(float)};
      continue;
    }
    const size_t block = block_bytes(activation);
    const size_t row_bytes = static_cast<size_t>(num_blocks) * block;
    uint8_t* data = scratch_of(activation, row_bytes * static_cast<size_t>(x.rows + kStripRows));  // the last strip is whole
    rows = {data, row_bytes};
    pool_.parallel_for(x.rows, 8, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        const auto [first, count] = panels.together_with(row);
        uint8_t* blocks = data + static_cast<size_t>(first) * row_bytes + static_cast<size_t>(row - first) * block;
        kernels_.quantize[index](x.row(row), x.cols, blocks, count);
      }
    });
  }
}

void LinearOps::multiply(const LinearOutput& output, const Panels& panels, int64_t panel, int64_t first_tile, int64_t num_tiles) {
  const PackedLinear& weight = packed(output);
  const Rows& x = rows_[static_cast<size_t>(panels.activation(weight))];
  const int64_t first_row = panels.first_row(panel);
  const int64_t first_output = first_tile * kernels_.tile_rows;
  const MultiplyFunction kernel = panels.pairs ? kernels_.multiply_pairs(weight.dtype()) : weight.multiply();
  kernel({
      .tiles = weight.tiles() + static_cast<size_t>(first_tile) * weight.tile_bytes(),
      .tile_bytes = weight.tile_bytes(),
      .num_tiles = num_tiles,
      .num_blocks = weight.num_blocks(),
      .num_outputs = std::min(num_tiles * kernels_.tile_rows, weight.rows() - first_output),
      .x = x.data + static_cast<size_t>(first_row) * x.row_bytes,
      .x_row_bytes = x.row_bytes,
      .num_rows = panels.num_rows(panel),
      .out = output.out.row(first_row) + first_output,
      .out_stride = output.out.stride,
      .bias = output.bias == nullptr ? nullptr : output.bias + first_output,
  });
}

void LinearOps::run(MatrixView x, std::span<const LinearOutput> outputs) {
  for (const LinearOutput& output : outputs) check(x, output);
  if (x.rows == 0 || outputs.empty()) return;
  const Panels panels = make_panels(x.rows);
  quantize(x, panels, outputs);
  const Items items(outputs, x.rows, panels.count, x.cols, pool_.num_threads());
  pool_.parallel_for(panels.count * items.per_panel, 1, [&](int64_t item, int64_t) {
    const int64_t panel = item / items.per_panel;
    items.for_each_run(item % items.per_panel, [&](const LinearOutput& output, int64_t first_tile, int64_t num_tiles) {
      multiply(output, panels, panel, first_tile, num_tiles);
    });
  });
}

void LinearOps::run_pair(MatrixView x, const LinearOutput& a, const LinearOutput& b, FunctionRef<void(const Part&)> finish) {
  const LinearOutput outputs[] = {a, b};
  for (const LinearOutput& output : outputs) check(x, output);
  if (a.out.cols != b.out.cols) throw Error(ErrorCode::kInternal, "linear: a pair of outputs of different widths");
  if (x.rows == 0) return;
  const Panels panels = make_panels(x.rows);
  quantize(x, panels, outputs);
  const Items items({outputs, 1}, x.rows, panels.count, 2 * x.cols, pool_.num_threads());
  pool_.parallel_for(panels.count * items.per_panel, 1, [&](int64_t item, int64_t) {
    const int64_t panel = item / items.per_panel;
    items.for_each_run(item % items.per_panel, [&](const LinearOutput&, int64_t first_tile, int64_t num_tiles) {
      for (const LinearOutput& output : outputs) multiply(output, panels, panel, first_tile, num_tiles);
      const int64_t first_col = first_tile * kernels_.tile_rows;
      finish({panels.first_row(panel), panels.num_rows(panel), first_col, std::min(num_tiles * kernels_.tile_rows, a.out.cols - first_col)});
    });
  });
}

}  // namespace terrace
