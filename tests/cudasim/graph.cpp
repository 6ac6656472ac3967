#include "tests/cudasim/graph.h"

#include <algorithm>
#include <set>

#include "tests/cudasim/device_state.h"

namespace cudasim {

cudaError_t capture_operation(Stream& stream, Operation operation) {
  Capture& capture = *stream.capture;
  if (capture.invalid) return cudaErrorStreamCaptureInvalidated;
  std::vector<size_t>& tail = capture.tails[&stream];
  if (operation.kind == OperationKind::kHostFunction && !operation.run) return cudaSuccess;
  capture.graph.nodes.push_back({std::move(operation), tail});
  tail = {capture.graph.nodes.size() - 1};
  return cudaSuccess;
}

void capture_record(Stream& stream, Event& event) {
  event.capture = stream.capture;
  event.captured_nodes = stream.capture->tails[&stream];
}

cudaError_t capture_wait(Stream& stream, const Event& event) {
  if (event.capture == nullptr || !event.capture->active) {  // something outside, into a capture
    if (stream.capture == nullptr) return cudaErrorCapturedEvent;
    stream.capture->invalid = true;
    return cudaErrorStreamCaptureIsolation;
  }
  if (stream.capture != nullptr && stream.capture != event.capture) {
    stream.capture->invalid = event.capture->invalid = true;
    return cudaErrorStreamCaptureMerge;
  }
  stream.capture = event.capture;  // a fork, unless it takes part already
  std::vector<size_t>& tail = event.capture->tails[&stream];
  tail.insert(tail.end(), event.captured_nodes.begin(), event.captured_nodes.end());
  std::sort(tail.begin(), tail.end());
  tail.erase(std::unique(tail.begin(), tail.end()), tail.end());
  return cudaSuccess;
}

cudaError_t forbid_in_capture(Stream& stream) {
  if (stream.capture == nullptr) return cudaSuccess;
  stream.capture->invalid = true;
  return cudaErrorStreamCaptureUnsupported;
}

cudaError_t forbid_while_capturing(Device& device) {
  for (const auto& stream : device.streams()) {
    if (stream->capture == nullptr || stream->capture->mode == cudaStreamCaptureModeRelaxed) continue;
    return forbid_in_capture(*stream);
  }
  return cudaSuccess;
}

GraphExec::GraphExec(Device& device, const Graph& graph) : device_(device), nodes_(graph.nodes), chain_of_(graph.nodes.size()) {
  std::vector<size_t> chain_tails;  // chain -> its last node
  std::vector<bool> followed(nodes_.size(), false);
  for (size_t node = 0; node < nodes_.size(); ++node) {
    size_t chain = chain_tails.size();
    for (const size_t dependency : nodes_[node].dependencies) {
      followed[dependency] = true;
      if (chain == chain_tails.size() && chain_tails[chain_of_[dependency]] == dependency) chain = chain_of_[dependency];
    }
    if (chain == chain_tails.size()) chain_tails.push_back(node);
    chain_tails[chain] = node;
    chain_of_[node] = chain;
  }
  for (size_t i = 0; i < chain_tails.size(); ++i) chains_.push_back(device.create_internal_stream());
  for (size_t node = 0; node < nodes_.size(); ++node) {
    if (!followed[node]) sinks_.push_back(node);
  }
}

void GraphExec::launch(Stream& stream) {
  using Point = std::pair<Stream*, uint64_t>;
  const Point begin{&stream, stream.issued()};
  Clock before = stream.clock();
  before.join(last_clock_);
  std::vector<Point> points(nodes_.size());
  std::vector<Clock> clocks(nodes_.size());
  for (size_t node = 0; node < nodes_.size(); ++node) {
    std::vector<Point> waits;
    Clock after = before;
    if (nodes_[node].dependencies.empty()) {
      waits.push_back(begin);
      if (last_end_.first != nullptr) waits.push_back(last_end_);
    }
    for (const size_t dependency : nodes_[node].dependencies) {
      waits.push_back(points[dependency]);
      after.join(clocks[dependency]);
    }
    Stream& chain = *chains_[chain_of_[node]];
    chain.push(nodes_[node].operation, waits, after);
    points[node] = {&chain, chain.issued()};
    clocks[node] = chain.clock();
  }
  std::vector<Point> waits;
  Clock after = before;
  for (const size_t sink : sinks_) {
    waits.push_back(points[sink]);
    after.join(clocks[sink]);
  }
  Operation end;
  end.name = "the end of a graph launch";
  end.kind = OperationKind::kMarker;
  stream.push(std::move(end), waits, after);
  last_end_ = {&stream, stream.issued()};
  last_clock_ = stream.clock();
}

cudaGraphExecUpdateResult GraphExec::update(const Graph& graph) {
  if (graph.nodes.size() != nodes_.size()) return cudaGraphExecUpdateErrorTopologyChanged;
  for (size_t i = 0; i < nodes_.size(); ++i) {
    if (graph.nodes[i].dependencies != nodes_[i].dependencies) return cudaGraphExecUpdateErrorTopologyChanged;
    if (graph.nodes[i].operation.kind != nodes_[i].operation.kind) return cudaGraphExecUpdateErrorNodeTypeChanged;
    if (graph.nodes[i].operation.kernel != nodes_[i].operation.kernel) return cudaGraphExecUpdateErrorUnsupportedFunctionChange;
  }
  for (size_t i = 0; i < nodes_.size(); ++i) nodes_[i].operation = graph.nodes[i].operation;
  return cudaGraphExecUpdateSuccess;
}

}  // namespace cudasim
