// Stream capture and graphs.
#include <set>

#include "tests/cudasim/api.h"
#include "tests/cudasim/graph_table.h"

using namespace cudasim;

namespace {

// Whether everything that the capture's streams have done leads to the origin's last nodes.
bool all_joined(const Capture& capture) {
  std::set<size_t> reached;
  std::vector<size_t> open = capture.tails.at(capture.origin);
  while (!open.empty()) {
    const size_t node = open.back();
    open.pop_back();
    if (!reached.insert(node).second) continue;
    const auto& before = capture.graph.nodes[node].dependencies;
    open.insert(open.end(), before.begin(), before.end());
  }
  return reached.size() == capture.graph.nodes.size();
}

cudaError_t graph_missing(const char* function) {
  report(fmt::format("{}: no live graph", function));
  return cudaErrorInvalidValue;
}

}  // namespace

extern "C" {

cudaError_t cudaStreamBeginCapture(cudaStream_t handle, cudaStreamCaptureMode mode) {
  return stream_call("cudaStreamBeginCapture", cudaErrorIllegalState, handle, [&](Device& device, Stream& stream) {
    if (stream.capture != nullptr) return cudaErrorIllegalState;
    stream.capture = std::make_shared<Capture>();
    stream.capture->device = &device;
    stream.capture->origin = &stream;
    stream.capture->mode = mode;
    stream.capture->tails[&stream];
    return cudaSuccess;
  });
}

cudaError_t cudaStreamEndCapture(cudaStream_t handle, cudaGraph_t* graph) {
  *graph = nullptr;
  return stream_call("cudaStreamEndCapture", cudaErrorStreamCaptureInvalidated, handle, [&](Device& device, Stream& stream) {
    const std::shared_ptr<Capture> capture = stream.capture;
    if (capture == nullptr) return cudaErrorIllegalState;
    if (capture->origin != &stream) {
      capture->invalid = true;
      return cudaErrorStreamCaptureUnmatched;
    }
    capture->active = false;
    for (const auto& other : device.streams()) {
      if (other->capture == capture) other->capture = nullptr;
    }
    if (capture->invalid) return cudaErrorStreamCaptureInvalidated;
    if (!all_joined(*capture)) return cudaErrorStreamCaptureUnjoined;
    *graph = GraphTable::get().add(std::move(capture->graph));
    return cudaSuccess;
  });
}

cudaError_t cudaStreamIsCapturing(cudaStream_t handle, cudaStreamCaptureStatus* status) {
  return stream_call("cudaStreamIsCapturing", cudaErrorInvalidResourceHandle, handle, [&](Device&, Stream& stream) {
    *status = stream.capture == nullptr ? cudaStreamCaptureStatusNone : stream.capture->invalid ? cudaStreamCaptureStatusInvalidated : cudaStreamCaptureStatusActive;
    return cudaSuccess;
  });
}

cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode*) { unsupported("cudaThreadExchangeStreamCaptureMode"); }

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t handle, unsigned long long flags) {
  *exec = nullptr;
  return api_call("cudaGraphInstantiate", cudaErrorMemoryAllocation, [&](Device& device) {
    if (flags != 0) unsupported("cudaGraphInstantiate with flags");
    const Graph* graph = GraphTable::get().find(handle);
    if (graph == nullptr) return graph_missing("cudaGraphInstantiate");
    *exec = GraphTable::get().add(device, *graph);
    return cudaSuccess;
  });
}

cudaError_t cudaGraphExecUpdate(cudaGraphExec_t exec, cudaGraph_t handle, cudaGraphExecUpdateResultInfo* info) {
  return api_call("cudaGraphExecUpdate", cudaErrorGraphExecUpdateFailure, [&](Device&) {
    GraphExec* target = GraphTable::get().find(exec);
    const Graph* graph = GraphTable::get().find(handle);
    if (target == nullptr || graph == nullptr) return graph_missing("cudaGraphExecUpdate");
    const cudaGraphExecUpdateResult result = target->update(*graph);
    if (info != nullptr) *info = {}, info->result = result;
    return result == cudaGraphExecUpdateSuccess ? cudaSuccess : cudaErrorGraphExecUpdateFailure;
  });
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t handle) {
  return stream_call("cudaGraphLaunch", cudaErrorLaunchFailure, handle, [&](Device& device, Stream& stream) {
    GraphExec* target = GraphTable::get().find(exec);
    if (target == nullptr) return graph_missing("cudaGraphLaunch");
    if (stream.capture != nullptr) unsupported("a graph launched into a capture");
    target->launch(stream);
    device.make_progress();
    return device.sticky;
  });
}

cudaError_t cudaGraphUpload(cudaGraphExec_t exec, cudaStream_t handle) {
  return stream_call("cudaGraphUpload", cudaErrorMemoryAllocation, handle,
                     [&](Device&, Stream&) { return GraphTable::get().find(exec) != nullptr ? cudaSuccess : graph_missing("cudaGraphUpload"); });
}

cudaError_t cudaGraphGetNodes(cudaGraph_t handle, cudaGraphNode_t* nodes, size_t* count) {
  return api_call("cudaGraphGetNodes", cudaErrorInvalidValue, [&](Device&) {
    const Graph* graph = GraphTable::get().find(handle);
    if (graph == nullptr) return graph_missing("cudaGraphGetNodes");
    if (nodes != nullptr) unsupported("cudaGraphGetNodes for more than the number of nodes");
    *count = graph->nodes.size();
    return cudaSuccess;
  });
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
  return release_call("cudaGraphExecDestroy", current_device(), [&](Device&) { return GraphTable::get().destroy(exec) ? cudaSuccess : graph_missing("cudaGraphExecDestroy"); });
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  return release_call("cudaGraphDestroy", current_device(), [&](Device&) { return GraphTable::get().destroy(graph) ? cudaSuccess : graph_missing("cudaGraphDestroy"); });
}

}  // extern "C"
