// Runs a step's attention plan on the pool: resolves tasks to addresses, gives each worker its scratch, joins stored
// partials. Owned by the CPU backend, used from its step thread. What is computed is attention_kernel.h's business.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/backend.h"
#include "kernels/base/thread_pool.h"
#include "kernels/cpu/attention_tile.h"
#include "kernels/cpu/isa.h"

namespace terrace {

const AttentionKernels& attention_kernels(Isa isa, Numerics numerics = Numerics::kInvariant);

class PagedAttention {
 public:
  PagedAttention(ThreadPool& pool, const AttentionKernels& kernels) : pool_(pool), kernels_(kernels) {}

  /// A new step: `batch` stays valid until the next call.
  void begin_step(const StepBatch& batch);
  /// Backend::attention.
  void run(const AttentionArgs& args);

 private:
  const AttentionPlan& plan(const AttentionArgs& args);
  void run_task(const AttentionArgs& args, const AttentionPlan& plan, size_t index, float* scratch);
  AttentionTile make_tile(const AttentionArgs& args, const AttentionTask& task, int32_t index);
  void run_merge(const AttentionArgs& args, const AttentionMerge& merge);

  ThreadPool& pool_;
  const AttentionKernels& kernels_;
  StepBatch batch_;
  /// A step has one for each kind of layer.
  struct Planned {
    AttentionShape shape;
    AttentionPlan plan;
  };
  std::vector<Planned> plans_;               // made in this step so far
  int32_t group_ = 0;                        // most query heads of one KV head
  std::vector<int32_t> head_begin_;          // [num_kv_heads + 1] first query head of each KV head
  std::vector<float> partial_out_;           // [num_partials, group_, head_dim]
  std::vector<float> partial_lse_;           // [num_partials, group_]
  std::vector<std::vector<float>> scratch_;  // one per worker
};

}  // namespace terrace
