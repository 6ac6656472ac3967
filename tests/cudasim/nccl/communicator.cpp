#include "tests/cudasim/nccl/communicator.h"

#include <fmt/format.h>

#include <cstring>
#include <vector>

#include "tests/cudasim/core.h"
#include "tests/cudasim/device_state.h"
#include "tests/cudasim/graph_table.h"
#include "tests/cudasim/nccl/sum_order.h"

namespace cudasim {
namespace {

std::mutex last_error_mutex;
std::string last_error_text;

}  // namespace

void set_last_nccl_error(const std::string& sentence) {
  const std::lock_guard lock(last_error_mutex);
  last_error_text = sentence;
}

const char* last_nccl_error() {
  static thread_local std::string copy;
  const std::lock_guard lock(last_error_mutex);
  copy = last_error_text;
  return copy.c_str();
}

struct Communicator::Queued {
  CollectiveHeader header;
  const std::byte* send;
  size_t send_bytes;
  std::byte* recv;
  size_t recv_bytes;
  cudaStream_t stream;
};

Communicator::Communicator(const Meeting::Key& key, int rank, int size, bool blocking)
    : meeting_(key, rank, size), rank_(rank), size_(size), device_(device_index(current_device())), blocking_(blocking) {
  meeting_.while_waiting = [this] { drive_idle_devices(device_at(device_)); };
}

Communicator::~Communicator() {
  if (worker_.joinable()) worker_.join();
}

void Communicator::fail(ncclResult_t result, const std::string& sentence) {
  set_last_nccl_error(sentence);
  const std::lock_guard lock(mutex_);
  if (failure_ == ncclSuccess) failure_ = result;
}

ncclResult_t Communicator::run_host_call(std::function<ncclResult_t(Communicator&)> work) {
  if (!meeting_.is_open()) {
    fail(ncclSystemError, "the unique id leads nowhere: the process that made it is gone, or the id did not arrive whole");
    return ncclSystemError;
  }
  if (blocking_) return work(*this);
  if (worker_.joinable()) worker_.join();
  busy_ = 1;
  worker_ = std::thread([this, work = std::move(work)] {
    choose_device(device_);
    work(*this);
    busy_ = 0;
  });
  return ncclInProgress;
}

ncclResult_t Communicator::meet_on_host(const CollectiveHeader& header) {
  std::string duplicate;
  const auto compare_devices = [&] {
    for (int rank = 0; rank < size_; ++rank) {
      int theirs = 0;
      std::memcpy(&theirs, meeting_.part(rank), sizeof theirs);
      if (theirs == device_ && rank != rank_) duplicate = fmt::format("Duplicate GPU detected: rank {} and rank {} both on device {}", rank_, rank, device_);
    }
  };
  const bool init = header.kind == CollectiveHeader::Kind::kInit;  // nothing is queued yet: the parts are free
  const auto device = std::as_bytes(std::span(&device_, init ? 1u : 0u));
  switch (meeting_.meet(Meeting::Channel::kHost, header, device, aborted_, init ? std::function<void()>(compare_devices) : nullptr)) {
    case Meeting::Outcome::kMet:
      if (duplicate.empty()) return ncclSuccess;
      fail(ncclInvalidUsage, duplicate);
      return ncclInvalidUsage;
    case Meeting::Outcome::kDiffer:
      report(meeting_.trouble());
      fail(ncclInvalidUsage, meeting_.trouble());
      return ncclInvalidUsage;
    case Meeting::Outcome::kLate: fail(ncclSystemError, meeting_.trouble()); return ncclSystemError;
    default: return ncclInternalError;
  }
}

ncclResult_t Communicator::queue(const CollectiveHeader& header, const void* send, size_t send_bytes, void* recv, size_t recv_bytes, cudaStream_t stream) {
  if (send_bytes > Meeting::kMaxBytes) unsupported(fmt::format("NCCL: a part of {} bytes", send_bytes));
  const Queued queued = {header, static_cast<const std::byte*>(send), send_bytes, static_cast<std::byte*>(recv), recv_bytes, stream};
  {
    const std::lock_guard lock(mutex_);
    if (failure_ != ncclSuccess) return failure_;
    if (busy_ != 0 || postponed_ != nullptr) {
      report(fmt::format("{} while an earlier call on this communicator is in progress: ncclCommGetAsyncError was not asked until it said so", describe(header)));
      return ncclInvalidUsage;
    }
    // The first collectives connect, which a non-blocking communicator does in the background; later ones now and then.
    ++calls_;
    if (!blocking_ && (calls_ == 1 || (calls_ * 0x9E3779B97F4A7C15ull ^ meeting_.seed()) % 5 == 0)) {
      postponed_ = std::make_unique<Queued>(queued);
      postponed_by_ = std::this_thread::get_id();
      return ncclInProgress;
    }
  }
  return enqueue_now(queued);
}

ncclResult_t Communicator::enqueue_now(const Queued& queued) {
  {
    const std::lock_guard lock(mutex_);
    streams_.insert(queued.stream);
  }
  Operation operation;
  operation.name = describe(queued.header);
  operation.run = [self = shared_from_this(), queued] { self->run(queued); };
  if (queued.send_bytes > 0) operation.reads = {{queued.send, queued.send_bytes}};
  operation.writes = {{queued.recv, queued.recv_bytes}};
  operation.waits_for_peers = true;
  operation.communicator = this;
  const cudaError_t queued_status = cudasim::enqueue(queued.stream, std::move(operation));
  if (queued_status == cudaSuccess) return ncclSuccess;
  fail(ncclUnhandledCudaError, fmt::format("{}: {}", describe(queued.header), cudaGetErrorString(queued_status)));
  return ncclUnhandledCudaError;
}

ncclResult_t Communicator::state() {
  std::unique_ptr<Queued> now;
  {
    const std::lock_guard lock(mutex_);
    if (failure_ != ncclSuccess) return failure_;
    if (busy_ != 0) return ncclInProgress;
    if (postponed_ == nullptr) return ncclSuccess;
    if (postponed_by_ != std::this_thread::get_id()) return ncclInProgress;
    now = std::move(postponed_);
  }
  return enqueue_now(*now);
}

void Communicator::abort() {
  aborted_ = true;
  while (running_ != 0) std::this_thread::sleep_for(std::chrono::microseconds(50));
  if (worker_.joinable()) worker_.join();
}

void Communicator::await_graphs(const char* function) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(Meeting::timeout_seconds());
  while (GraphTable::get().holds(this)) {
    if (std::chrono::steady_clock::now() > deadline) {
      report(fmt::format("{}: a live graph holds an operation of this communicator: NCCL would wait for ever", function));
      return;
    }
    std::this_thread::sleep_for(std::chrono::microseconds(50));
  }
}

ncclResult_t Communicator::flush() {
  std::set<cudaStream_t> streams;
  {
    const std::lock_guard lock(mutex_);
    streams.swap(streams_);
  }
  for (cudaStream_t stream : streams) {
    if (cudaStreamSynchronize(stream) == cudaSuccess) continue;
    fail(ncclUnhandledCudaError, "ncclCommFinalize: the stream has failed");
    return ncclUnhandledCudaError;
  }
  return ncclSuccess;
}

void Communicator::run(const Queued& queued) {
  struct Running {
    std::atomic<int>& count;
    explicit Running(std::atomic<int>& c) : count(c) { ++count; }
    ~Running() { --count; }
  } running(running_);
  const auto combine = [&] {
    switch (queued.header.kind) {
      case CollectiveHeader::Kind::kAllReduce: {
        std::vector<const float*> parts;
        for (int rank = 0; rank < size_; ++rank) parts.push_back(reinterpret_cast<const float*>(meeting_.part(rank)));
        return sum_parts(parts, queued.header.count, meeting_.seed(), reinterpret_cast<float*>(queued.recv));
      }
      case CollectiveHeader::Kind::kAllGather:
        for (int rank = 0; rank < size_; ++rank) std::memcpy(queued.recv + static_cast<size_t>(rank) * queued.send_bytes, meeting_.part(rank), queued.send_bytes);
        return;
      default: std::memcpy(queued.recv, meeting_.part(queued.header.root), queued.recv_bytes);
    }
  };
  bool failed = call_fails(fmt::format("{} on the device", describe(queued.header)).c_str());
  if (failed) fail(ncclRemoteError, "the transport to a peer has failed (injected)");
  if (!failed && !aborted_) {
    const Meeting::Outcome outcome = meeting_.meet(Meeting::Channel::kStream, queued.header, {queued.send, queued.send_bytes}, aborted_, combine);
    if (outcome == Meeting::Outcome::kMet) return;
    if (outcome == Meeting::Outcome::kDiffer) {
      report(meeting_.trouble());
      fail(ncclInvalidUsage, meeting_.trouble());
    } else if (outcome == Meeting::Outcome::kLate) {
      report(meeting_.trouble());
      fail(ncclRemoteError, meeting_.trouble());
    }
  }
  std::memset(queued.recv, 0xFF, queued.recv_bytes);  // NaN: whoever uses the result of a sum that did not happen shows
}

}  // namespace cudasim
