// The live graphs and executable graphs of the process; handles are addresses. Any thread; what it gives is guarded by its device's lock.
#pragma once

#include <unordered_map>

#include "tests/cudasim/graph.h"

namespace cudasim {

class GraphTable {
 public:
  static GraphTable& get();

  cudaGraph_t add(Graph graph);
  cudaGraphExec_t add(Device& device, const Graph& graph);
  Graph* find(cudaGraph_t handle);
  GraphExec* find(cudaGraphExec_t handle);
  /// What runs still ends: its operations are in streams.
  bool destroy(cudaGraph_t handle);
  bool destroy(cudaGraphExec_t handle);
  size_t size();
  /// Whether a live graph, executable or not, holds an operation of this communicator.
  bool holds(const void* communicator);

 private:
  std::mutex mutex_;
  std::unordered_map<const void*, std::unique_ptr<Graph>> graphs_;
  std::unordered_map<const void*, std::unique_ptr<GraphExec>> execs_;
};

}  // namespace cudasim
