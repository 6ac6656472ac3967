// Products of activations with packed weights. Owned by the CPU backend, used from its step thread; keeps the quantised activations
// of a call in memory that grows to the largest call seen. Results don't depend on the ISA, the number of threads, or what other
// rows are in the call (linear_tile.h states the arithmetic); but for Numerics::kFast on AMX, whose products of many rows are of bfloat16.
#pragma once

#include <memory>
#include <span>

#include "kernels/backend.h"
#include "kernels/base/function_ref.h"
#include "kernels/base/thread_pool.h"
#include "kernels/cpu/isa.h"
#include "kernels/cpu/linear_kernels.h"
#include "kernels/cpu/weight_arena.h"

namespace terrace {

/// The kernels of a level; kAuto is kInvariant.
const LinearKernels& linear_kernels(Isa isa, Numerics numerics = Numerics::kInvariant);

class LinearOps {
 public:
  /// Both must outlive this.
  LinearOps(const LinearKernels& kernels, ThreadPool& pool) : kernels_(kernels), pool_(pool) {}

  std::unique_ptr<Weight> pack(const HostMatrix& matrix, const PackOptions& options);
  size_t packed_bytes(DType dtype, int64_t rows, int64_t cols, const PackOptions& options) const;

  /// Backend::linear(): outputs[i].out = x * weight^T (+ bias). Weights are those of pack(); x and outputs don't overlap.
  void run(MatrixView x, std::span<const LinearOutput> outputs);

  /// A part of the outputs.
  struct Part {
    int64_t first_row, num_rows, first_col, num_cols;
  };
  /// run() for two outputs of equal shape. `finish` is called once for each part of them, on the thread that has just written it to both.
  void run_pair(MatrixView x, const LinearOutput& a, const LinearOutput& b, FunctionRef<void(const Part&)> finish);

 private:
  struct Rows {  // x as some weights need it: panels of blocks (linear_kernels.h), or rows of floats
    const uint8_t* data = nullptr;
    size_t row_bytes = 0;
  };

  struct Panels;

  Panels make_panels(int64_t num_rows) const;
  uint8_t* scratch_of(Activation activation, size_t bytes);
  void quantize(MatrixView x, const Panels& panels, std::span<const LinearOutput> outputs);
  /// One panel by a run of an output's tiles.
  void multiply(const LinearOutput& output, const Panels& panels, int64_t panel, int64_t first_tile, int64_t num_tiles);

  const LinearKernels& kernels_;
  ThreadPool& pool_;
  WeightArena arena_;
  Rows rows_[kNumActivations];        // by Activation, of the call under way
  struct Scratch {
    std::shared_ptr<uint8_t> memory;
    size_t bytes = 0;
  };
  Scratch scratch_[kNumActivations];  // by Activation
};

}  // namespace terrace
