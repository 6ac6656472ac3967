// Runs a step's attention plan on the pool: resolves tasks to addresses, gives each worker its scratch, joins stored
// partials. Owned by the CPU backend, used from its step thread. What is computed is attention_kernel.h's business.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "kernels/backend.h"
#include "kernels/base/thread_pool.h"
#include "kernels/cpu/attention_tile.h"
#include "kernels/cpu/isa.h"
#include "kernels/cpu/page_choice.h"
#include "kernels/cpu/query_heads.h"

namespace terrace {

const AttentionKernels& attention_kernels(Isa isa, Numerics numerics = Numerics::kInvariant);

class PagedAttention {
 public:
  PagedAttention(ThreadPool& pool, const AttentionKernels& kernels) : pool_(pool), kernels_(kernels), choice_(pool, kernels) {}

  /// A new step: `batch` stays valid until the next call.
  void begin_step(const StepBatch& batch);
  /// Backend::attention.
  void run(const AttentionArgs& args);
  ReadingStats take_reading() { return choice_.take_stats(); }

 private:
  /// What one plan is of.
  struct Part {
    const AttentionArgs& args;
    std::span<const AttentionRun> runs;
    const uint32_t* frames;
    const AttentionPlan& plan;
  };

  /// Of a prompt, in one tile.
  int32_t tile_tokens() const { return std::max(1, kernels_.tile_rows / heads_.most()); }
  const AttentionPlan& plan(const AttentionArgs& args, const SparseReading& sparse, std::span<const AttentionRun> runs);
  void attend(const Part& part);
  void run_task(const Part& part, size_t index, float* scratch);
  AttentionTile make_tile(const Part& part, const AttentionTask& task, int32_t index);
  void run_merge(const AttentionArgs& args, const AttentionMerge& merge);

  ThreadPool& pool_;
  const AttentionKernels& kernels_;
  StepBatch batch_;
  /// A step has one for each kind of layer.
  struct Planned {
    AttentionShape shape;
    SparseReading sparse;  // whose tokens it is without
    AttentionPlan plan;
  };
  std::vector<Planned> plans_;               // made in this step so far
  QueryHeads heads_;
  PageChoice choice_;
  std::vector<float> partial_out_;           // [num_partials, heads_.most(), head_dim]
  std::vector<float> partial_lse_;           // [num_partials, heads_.most()]
  std::vector<std::vector<float>> scratch_;  // one per worker
};

}  // namespace terrace
