#include "tests/cudasim/stream.h"

#include <fmt/format.h>

#include <algorithm>

#include "tests/cudasim/device_state.h"
#include "tests/cudasim/graph.h"
#include "tests/cudasim/pinned_guard.h"

namespace cudasim {

void Stream::push(Operation operation, const std::vector<std::pair<Stream*, uint64_t>>& waits, const Clock& after) {
  QueuedOperation queued;
  queued.count = ++issued_;
  queued.waits = waits;
  clock_.join(device_.host_clock());
  clock_.join(after);
  if (blocking_) clock_.join(device_.legacy().clock());
  clock_.set(id_, queued.count);
  queued.clock = clock_;
  for (const auto& [ranges, write] : {std::pair(&operation.reads, false), std::pair(&operation.writes, true)}) {
    for (const MemoryRange& range : *ranges) {
      if (find_allocation(range.begin, range.bytes).kind == MemoryKind::kPinned) PinnedGuard::get().add(range, write, device_.index, id_, queued.count, operation.name);
    }
  }
  queued.operation = std::move(operation);
  queue_.push_back(std::move(queued));
}

bool Stream::ready() const {
  if (queue_.empty()) return false;
  for (const auto& [stream, count] : queue_.front().waits) {
    if (stream->done() < count) return false;
  }
  return true;
}

uint64_t Stream::first_for_peers() const {
  const auto found = std::find_if(queue_.begin(), queue_.end(), [](const QueuedOperation& queued) { return queued.operation.waits_for_peers; });
  return found == queue_.end() ? 0 : found->count;
}

void Stream::run_next() {
  QueuedOperation next = std::move(queue_.front());
  queue_.pop_front();
  device_.run(*this, next);
  done_ = next.count;
}

void Stream::run_through(uint64_t count) {
  while (done_ < count) {
    const auto waits = queue_.front().waits;  // by value: the queue changes below
    for (const auto& [stream, needed] : waits) stream->run_through(needed);
    run_next();
  }
}

namespace {

cudaError_t check_ranges(const Operation& operation) {
  for (const auto* ranges : {&operation.reads, &operation.writes}) {
    for (const MemoryRange& range : *ranges) {
      const MemoryKind kind = find_allocation(range.begin, range.bytes).kind;
      if (kind == MemoryKind::kDevice || kind == MemoryKind::kPinned) continue;
      report(fmt::format("{}: its {} bytes begin at {}{}", operation.name, range.bytes, describe_address(range.begin), kind == MemoryKind::kPastEnd ? " and leave it" : ""));
      return cudaErrorInvalidValue;
    }
  }
  return cudaSuccess;
}

}  // namespace

cudaError_t enqueue(cudaStream_t handle, Operation operation) {
  Device& device = current_device();
  const std::lock_guard lock(device.mutex);
  if (device.sticky != cudaSuccess) return device.sticky;
  if (handle == nullptr || handle == cudaStreamLegacy || handle == cudaStreamPerThread) {
    report(operation.name + ": on a default stream; name a stream of your own");
    return cudaErrorInvalidValue;
  }
  Stream* stream = device.find_stream(handle);
  if (stream == nullptr) {
    report(fmt::format("{}: no live stream of device {}", operation.name, device.index));
    return cudaErrorInvalidResourceHandle;
  }
  std::erase_if(operation.reads, [](const MemoryRange& range) { return range.bytes == 0; });
  std::erase_if(operation.writes, [](const MemoryRange& range) { return range.bytes == 0; });
  if (const cudaError_t error = check_ranges(operation); error != cudaSuccess) return error;
  if (stream->capture != nullptr) return capture_operation(*stream, std::move(operation));
  stream->push(std::move(operation));
  device.make_progress();
  return device.sticky;
}

}  // namespace cudasim
