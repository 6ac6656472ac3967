#include "kernels/cuda/cuda_graphs.h"

#include "kernels/cuda/check.h"

namespace terrace {

void CudaGraphs::run(uint64_t key, uint64_t generation, FunctionRef<void()> ops) {
  forget_if_stale(generation);
  const auto found = graphs_.find(key);
  if (found == graphs_.end()) {
    ops();
    forget_if_stale(generation);
    graphs_[key] = nullptr;
    return;
  }
  if (found->second == nullptr) found->second = record(ops);
  check_cuda(cudaGraphLaunch(found->second.get(), device_.stream()), "launching a step's graph");
}

void CudaGraphs::forget_if_stale(uint64_t generation) {
  if (generation == generation_ && device_.num_allocations() == allocations_) return;
  graphs_.clear();
  generation_ = generation;
  allocations_ = device_.num_allocations();
}

CudaGraphs::Executable CudaGraphs::record(FunctionRef<void()> ops) {
  cudaGraph_t captured = nullptr;
  check_cuda(cudaStreamBeginCapture(device_.stream(), cudaStreamCaptureModeThreadLocal), "starting to record a graph");
  try {
    ops();
  } catch (...) {
    cudaStreamEndCapture(device_.stream(), &captured);  // the stream must not stay in capture
    if (captured != nullptr) cudaGraphDestroy(captured);
    throw;
  }
  check_cuda(cudaStreamEndCapture(device_.stream(), &captured), "recording a graph");
  const std::unique_ptr<CUgraph_st, Destroy> graph(captured);
  cudaGraphExec_t executable = nullptr;
  check_cuda(cudaGraphInstantiate(&executable, graph.get(), 0), "making a graph of a step's layers");
  return Executable(executable);
}

}  // namespace terrace
