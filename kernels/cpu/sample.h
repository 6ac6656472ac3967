// The largest logits of a row and the parts of its log-sum-exp. Owned by the CPU backend, used from its step thread,
// which spreads the work over the pool. Does not sample: that is rank 0's business.
#pragma once

#include <span>
#include <vector>

#include "kernels/backend.h"
#include "kernels/base/thread_pool.h"
#include "kernels/cpu/row_ops.h"

namespace terrace {

class TopSelector {
 public:
  TopSelector(ThreadPool& pool, const RowOps& ops) : pool_(pool), ops_(ops) {}

  /// Backend::select_top. NaN is never selected.
  void select(MatrixView logits, int count, std::span<TopLogits> out);

 private:
  void select_row(const float* logits, int64_t row, int64_t cols, int64_t count, TopLogits& out);

  ThreadPool& pool_;
  const RowOps& ops_;
  std::vector<float> block_max_;    // [rows, blocks]
  std::vector<ChunkStats> chunks_;  // [rows, chunks]
};

}  // namespace terrace
