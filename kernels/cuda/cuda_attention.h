// Paged attention on the device: plans a step's tasks (attention_planner) and runs one kernel over them and one that merges. Step thread only.
#pragma once

#include <cuda_runtime_api.h>

#include "kernels/backend.h"

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

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace terrace
