// CUDA graphs of a step's layers: a key's ops run as they are the first time (memory that they need is then there), are recorded the
// second time, and replayed from then on in one launch. Owned by the CUDA backend, used from its step thread. Knows nothing of what
// is recorded: whoever passes ops sees to it that equal keys mean equal launches (Backend::run_graph).
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <memory>
#include <unordered_map>

#include "kernels/base/function_ref.h"
#include "kernels/cuda/cuda_device.h"

namespace terrace {

class CudaGraphs {
 public:
  explicit CudaGraphs(CudaDevice& device) : device_(device) {}

  /// `generation`: when it or the device's memory has changed since a graph was recorded, addresses in it may be stale: all begin anew.
  void run(uint64_t key, uint64_t generation, FunctionRef<void()> ops);
  /// All begin anew. One that runs still ends: the runtime frees it on completion (documented for cudaGraphExecDestroy).
  void forget() { graphs_.clear(); }

 private:
  struct Destroy {
    void operator()(cudaGraph_t graph) const { cudaGraphDestroy(graph); }
    void operator()(cudaGraphExec_t graph) const { cudaGraphExecDestroy(graph); }
  };
  using Executable = std::unique_ptr<CUgraphExec_st, Destroy>;

  void forget_if_stale(uint64_t generation);
  Executable record(FunctionRef<void()> ops);

  CudaDevice& device_;
  uint64_t generation_ = 0;
  uint64_t allocations_ = 0;
  std::unordered_map<uint64_t, Executable> graphs_;  // null: has run once
};

}  // namespace terrace
