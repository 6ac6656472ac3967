// Chooses on the device the pages that a step's tokens read sparsely, for layers of one geometry (kernels/sparse_runs.h; the kernels:
// page_choice_kernels.h). Mode::kTop only: how many pages a token reads is then known before it has chosen, so the step is planned as any other, and only the
// frames are found on the device. Owned by CudaAttention, used from its step thread.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/backend.h"
#include "kernels/cuda/cuda_device.h"
#include "kernels/cuda/page_choice_kernels.h"
#include "kernels/cuda/step_arrays.h"
#include "kernels/sparse_runs.h"

namespace terrace {

class CudaPageChoice {
 public:
  CudaPageChoice(CudaDevice& device, const SparseReading& sparse, int32_t page_tokens, std::span<const int32_t> head_begin);

  /// A new step. True: run() launches otherwise than before, and graphs that hold its launches are of no use any more.
  bool begin_step(const StepBatch& batch);
  void add_lists(StepArrays& arrays);
  SparseRuns& runs() { return runs_; }
  /// The frames that runs().runs() are in, once run() has been.
  const uint32_t* frames() const { return reinterpret_cast<const uint32_t*>(chosen_.data()); }
  void run(const AttentionArgs& args, const StepArrays& arrays, bool is_decode);

  ReadingStats take_stats();

 private:
  void end_step();
  bool reserve(Buffer& buffer, size_t bytes);

  CudaDevice& device_;
  SparseReading sparse_;
  int32_t page_tokens_;
  std::vector<int32_t> head_begin_;
  SparseRuns runs_;
  std::vector<int32_t> passes_;  // first queries, and their end
  int32_t most_passes_ = 1;      // of all steps
  int32_t most_parts_ = 0;
  int queries_slot_ = -1, passes_slot_ = -1, most_parts_slot_ = -1, heads_slot_ = -1;
  Buffer bounds_, chosen_;
  ReadingStats step_stats_, stats_;  // a layer's of this step; of all before
  int64_t layers_ = 0, layers_now_ = 0;  // that run() served in the last step that it was called in, since a graph does not call it; and in this one
};

}  // namespace terrace
