// Paged attention on the device: deals a step's tasks (attention_planner) to units of at most 16 or 64 (above 128 dims: 32) query rows, and launches the kernels that
// compute them and join their pieces (attention_kernels.h). Tokens that read sparsely have units of their own, whose pages CudaPageChoice finds. Owns the
// stored pieces. Step thread only.
#pragma once

#include <cuda_runtime_api.h>

#include <memory>
#include <vector>

#include "kernels/backend.h"
#include "kernels/cuda/attention_kernels.h"
#include "kernels/cuda/cuda_page_choice.h"

namespace terrace {

class CudaDevice;
class StepArrays;

class CudaAttention {
 public:
  CudaAttention(CudaDevice& device, const BackendOptions& options);
  ~CudaAttention();
  /// Plans the step and adds the plan to `arrays`, which the backend then uploads (a geometry that run() meets for the first time: run() adds and uploads again).
  void begin_step(const StepBatch& batch, StepArrays& arrays);
  void run(const AttentionArgs& args);
  ReadingStats take_reading();

  /// Changes when run() would launch something else for a decode step of the same size than before: a CUDA graph that holds the old launches
  /// is of no use any more. Like StepArrays::generation().
  uint64_t generation() const { return generation_; }

 private:
  /// What units are made for; a model has one for each kind of window, and for layers that read sparsely.
  struct Geometry {
    AttentionKind kind = {};
    int32_t num_kv_heads = 0;
    std::vector<int32_t> head_begin;  // [num_kv_heads + 1] first query head of each KV head
    int32_t most_heads = 0;           // of a KV head
    AttentionWindow window;
    SparseReading sparse;
    int32_t page_tokens = 0;          // where they read sparsely
    bool operator==(const Geometry&) const = default;
  };
  /// Units of a step by tile, and where their lists are among its arrays.
  struct Units {
    std::vector<AttentionUnit> narrow, wide;
    int narrow_slot = -1, num_narrow_slot = -1, wide_slot = -1, num_wide_slot = -1;
  };

  /// A step's lists for the layers of one geometry.
  struct Plan {
    Geometry geometry;
    int blocks_narrow = 0, blocks_wide = 0;  // that the device holds at a time
    uint64_t last_step = 0;                  // that run() used it in
    Units units;
    std::unique_ptr<CudaPageChoice> choice;  // where they read sparsely,
    Units chosen;                            // with the units of its runs
    std::vector<AttentionJoin> joins;
    int joins_slot = -1, num_joins_slot = -1;
    int32_t num_partials = 0;
  };

  static Geometry geometry_of(const AttentionArgs& args);
  Plan& plan_for(const AttentionArgs& args);
  Plan& add_plan(Geometry geometry);
  void fill(Plan& plan);
  void add_tasks(Plan& plan, Units& units, const AttentionPlan& tasks, std::span<const AttentionRun> runs);
  void add_lists(Plan& plan);
  void reserve_partials(const Geometry& geometry, int32_t num_partials);
  AttentionParams params(const AttentionArgs& args, const Plan& plan) const;
  void start(const Plan& plan, const Units& units, AttentionParams params);

  CudaDevice& device_;
  StepBatch batch_;
  StepArrays* arrays_ = nullptr;
  std::vector<Plan> plans_;
  uint64_t step_ = 0;
  Buffer partial_out_, partial_lse_;
  uint64_t generation_ = 0;
};

}  // namespace terrace
