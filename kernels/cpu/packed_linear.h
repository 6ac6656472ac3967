// A weight matrix in the tiles of one ISA's linear kernels (linear_kernels.h describes them). Owns the tiles; read-only once made.
#pragma once

#include <memory>

#include "kernels/backend.h"
#include "kernels/base/thread_pool.h"
#include "kernels/cpu/linear_kernels.h"
#include "kernels/cpu/weight_arena.h"

namespace terrace {

class PackedLinear final : public Weight {
 public:
  /// Throws kModelUnsupported for a slice that cuts a group of columns which shares a scale. The pool's threads pack, and so
  /// touch first, what they will read.
  PackedLinear(const HostMatrix& matrix, const PackOptions& options, const LinearKernels& kernels, ThreadPool& pool,
               WeightArena& arena);

  /// What bytes() would be.
  static size_t packed_bytes(DType dtype, int64_t rows, int64_t cols, const PackOptions& options, const LinearKernels& kernels);

  int64_t rows() const override { return rows_; }
  int64_t cols() const override { return cols_; }
  size_t bytes() const override { return static_cast<size_t>(num_tiles_) * tile_bytes_; }

  DType dtype() const { return dtype_; }
  Activation activation() const { return activation_; }
  MultiplyFunction multiply() const { return multiply_; }
  const uint8_t* tiles() const { return tiles_.get(); }
  size_t tile_bytes() const { return tile_bytes_; }
  int64_t num_tiles() const { return num_tiles_; }
  int64_t num_blocks() const { return num_blocks_; }  // of a tile; columns for plain floats

 private:
  DType dtype_;
  int64_t rows_;
  int64_t cols_;
  int64_t num_blocks_ = 0;
  int64_t num_tiles_ = 0;
  size_t tile_bytes_ = 0;
  Activation activation_ = Activation::kFloat;
  MultiplyFunction multiply_;
  std::shared_ptr<uint8_t> tiles_;  // in a WeightArena's chunk
};

}  // namespace terrace
