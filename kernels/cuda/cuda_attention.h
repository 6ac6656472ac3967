// Paged attention on the device: deals a step's tasks (attention_planner) to units of at most 16 or 64 (above 128 dims: 32) query rows, and launches the kernels that
// compute them and join their pieces (attention_kernels.h). Owns the stored pieces. Step thread only.
#pragma once

#include <cuda_runtime_api.h>

#include <vector>

#include "kernels/backend.h"
#include "kernels/cuda/attention_kernels.h"

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

  /// Changes when run() would launch something else for a decode step of the same size than before: a CUDA graph that holds the old launches
  /// is of no use any more. Like StepArrays::generation().
  uint64_t generation() const { return generation_; }

 private:
  /// What units are made for; a model has one for each kind of window.
  struct Geometry {
    AttentionKind kind = {};
    int32_t num_kv_heads = 0;
    std::vector<int32_t> head_begin;  // [num_kv_heads + 1] first query head of each KV head
    int32_t most_heads = 0;           // of a KV head
    AttentionWindow window;
    bool operator==(const Geometry&) const = default;
  };
  /// Where this step's lists are among the step's arrays.
  struct Slots {
    int narrow = -1, num_narrow = -1, wide = -1, num_wide = -1, joins = -1, num_joins = -1;
  };

  /// A step's lists for the layers of one geometry.
  struct Plan {
    Geometry geometry;
    Slots slots;
    int blocks_narrow = 0, blocks_wide = 0;  // that the device holds at a time
    uint64_t last_step = 0;                  // that run() used it in
    std::vector<AttentionUnit> narrow, wide;
    std::vector<AttentionJoin> joins;
  };

  static Geometry geometry_of(const AttentionArgs& args);
  Plan& plan_for(const AttentionArgs& args);
  Plan& add_plan(Geometry geometry);
  void fill(Plan& plan);
  void add_units(Plan& plan, const AttentionTask& task, int32_t kv_head, int32_t partial) const;
  void add_lists(Plan& plan);
  void reserve_partials(const Geometry& geometry, int32_t num_partials);
  AttentionParams params(const AttentionArgs& args, const Plan& plan) const;

  CudaDevice& device_;
  StepBatch batch_;
  StepArrays* arrays_ = nullptr;
  std::vector<Plan> plans_;
  uint64_t step_ = 0;
  Buffer partial_out_, partial_lse_;
  uint64_t generation_ = 0;
};

}  // namespace terrace
