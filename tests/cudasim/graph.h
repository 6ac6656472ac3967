// Graphs: what a capture collects, and what a launch unrolls into internal streams, one for each chain of nodes, so that branches run in any order and races between them are found.
// Guarded by the device's lock.
#pragma once

#include <map>

#include "tests/cudasim/stream.h"

namespace cudasim {

struct GraphNode {
  Operation operation;
  std::vector<size_t> dependencies;  // indices of earlier nodes
};

struct Graph {
  std::vector<GraphNode> nodes;
};

/// A capture under way: shared by all streams that take part, and by events recorded in it.
struct Capture {
  Device* device = nullptr;
  Stream* origin = nullptr;
  cudaStreamCaptureMode mode = cudaStreamCaptureModeGlobal;
  bool active = true;
  bool invalid = false;
  Graph graph;
  std::map<Stream*, std::vector<size_t>> tails;  // what the stream's next node depends on
};

cudaError_t capture_operation(Stream& stream, Operation operation);
void capture_record(Stream& stream, Event& event);
/// The event is recorded in a capture, or the stream is capturing.
cudaError_t capture_wait(Stream& stream, const Event& event);
/// For calls that a capture forbids: invalidates it and gives the code; success if the stream is not capturing.
cudaError_t forbid_in_capture(Stream& stream);
/// The same for calls that no stream of the device may be capturing in (cudaMalloc ...).
cudaError_t forbid_while_capturing(Device& device);

/// An executable graph: launches of one are ordered among themselves.
class GraphExec {
 public:
  GraphExec(Device& device, const Graph& graph);
  void launch(Stream& stream);
  /// Success, or what differs. Replaces all nodes' operations.
  cudaGraphExecUpdateResult update(const Graph& graph);
  const std::vector<GraphNode>& nodes() const { return nodes_; }

 private:
  Device& device_;
  std::vector<GraphNode> nodes_;
  std::vector<size_t> chain_of_;   // node -> chain
  std::vector<Stream*> chains_;
  std::vector<size_t> sinks_;      // nodes that none depends on
  std::pair<Stream*, uint64_t> last_end_{nullptr, 0};
  Clock last_clock_;
};

}  // namespace cudasim
