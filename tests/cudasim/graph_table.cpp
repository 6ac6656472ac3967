#include "tests/cudasim/graph_table.h"

#include <algorithm>

namespace cudasim {
namespace {

template <typename Table>
auto* find_in(Table& table, const void* handle) {
  const auto found = table.find(handle);
  return found == table.end() ? nullptr : found->second.get();
}

}  // namespace

GraphTable& GraphTable::get() {
  static auto& table = *new GraphTable;
  return table;
}

cudaGraph_t GraphTable::add(Graph graph) {
  const std::lock_guard lock(mutex_);
  auto owned = std::make_unique<Graph>(std::move(graph));
  const void* handle = owned.get();
  graphs_[handle] = std::move(owned);
  return static_cast<cudaGraph_t>(const_cast<void*>(handle));
}

cudaGraphExec_t GraphTable::add(Device& device, const Graph& graph) {
  const std::lock_guard lock(mutex_);
  auto owned = std::make_unique<GraphExec>(device, graph);
  const void* handle = owned.get();
  execs_[handle] = std::move(owned);
  return static_cast<cudaGraphExec_t>(const_cast<void*>(handle));
}

Graph* GraphTable::find(cudaGraph_t handle) {
  const std::lock_guard lock(mutex_);
  return find_in(graphs_, handle);
}

GraphExec* GraphTable::find(cudaGraphExec_t handle) {
  const std::lock_guard lock(mutex_);
  return find_in(execs_, handle);
}

bool GraphTable::destroy(cudaGraph_t handle) {
  const std::lock_guard lock(mutex_);
  return graphs_.erase(handle) == 1;
}

bool GraphTable::destroy(cudaGraphExec_t handle) {
  const std::lock_guard lock(mutex_);
  return execs_.erase(handle) == 1;
}

bool GraphTable::holds(const void* communicator) {
  const std::lock_guard lock(mutex_);
  const auto is_its = [&](const GraphNode& node) { return node.operation.communicator == communicator; };
  return std::ranges::any_of(graphs_, [&](const auto& graph) { return std::ranges::any_of(graph.second->nodes, is_its); }) ||
         std::ranges::any_of(execs_, [&](const auto& exec) { return std::ranges::any_of(exec.second->nodes(), is_its); });
}

size_t GraphTable::size() {
  const std::lock_guard lock(mutex_);
  return graphs_.size() + execs_.size();
}

}  // namespace cudasim
