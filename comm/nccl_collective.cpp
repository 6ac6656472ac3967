#include "comm/nccl_collective.h"

#include <fmt/format.h>
#include <nccl.h>

#include <cstdlib>
#include <cstring>
#include <exception>

#include "kernels/base/error.h"
#include "kernels/base/log.h"

namespace terrace {
namespace {

using namespace std::chrono_literals;

constexpr auto kPatience = 120s;      // to meet, or for NCCL's own thread to end a call: connecting across many hosts takes tens of seconds
constexpr auto kSpin = 1ms;  // a collective is queued by then; only connecting takes longer
constexpr auto kPollInterval = 500us;
constexpr auto kWatchInterval = 20ms;

// Whether a step is recorded as a graph is decided by each rank alone, but NCCL's registration of buffers under capture may talk to the other ranks, which
// may not be capturing. Nothing is lost: our buffer is a registered window already. NCCL reads its variables once, at its first call; a user's own value stays.
void forbid_graph_registration() {
  static const int once = setenv("NCCL_GRAPH_REGISTER", "0", 0);  // once: ranks may be threads
  static_cast<void>(once);
}

ncclUniqueId share_unique_id(Control& control, const std::function<void(ncclResult_t)>& check) {
  ncclUniqueId id = {};
  Bytes bytes(sizeof id);
  if (control.rank() == 0) {
    check(ncclGetUniqueId(&id));
    std::memcpy(bytes.data(), &id, sizeof id);
  }
  control.broadcast(bytes);
  std::memcpy(&id, bytes.data(), sizeof id);
  return id;
}

ErrorCode code_of(ncclResult_t result) {
  switch (result) {
    case ncclRemoteError: return ErrorCode::kRankLost;
    case ncclInvalidUsage: return ErrorCode::kInvalidValue;
    default: return ErrorCode::kInternal;
  }
}

const char* advice(ncclResult_t result) {
  switch (result) {
    case ncclRemoteError: return "Another rank's device or host has failed: see its message.";
    case ncclInvalidUsage: return "Each rank needs a GPU of its own and one version of NCCL everywhere: start no more ranks per host than it has GPUs.";
    default: return "NCCL_DEBUG=INFO says more.";
  }
}

}  // namespace

NcclCollective::NcclCollective(RankGroup& group, const DeviceLink& link)
    : control_(*group.control), rank_(group.rank), size_(group.size), link_(link), exceptions_(std::uncaught_exceptions()) {
  try {
    connect();
    allocate();
  } catch (...) {
    abort_communicator();
    release();
    throw;
  }
  watch_ = std::thread([this] { watch(); });
}

NcclCollective::~NcclCollective() {
  // First of all: ncclCommFinalize and ncclCommAbort, the watch's too, wait until no graph holds an operation of the communicator.
  link_.forget_graphs();
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  stopped_.notify_all();
  watch_.join();
  if (std::uncaught_exceptions() > exceptions_ || control_.aborted()) abort_communicator();
  try {
    if (comm_ != nullptr) {
      std::unique_lock lock(mutex_);
      if (window_ != nullptr) finish(ncclCommWindowDeregister(comm_, window_), {"ncclCommWindowDeregister", 0}, lock);
      finish(ncclCommFinalize(comm_), {"ncclCommFinalize", 0}, lock);
      ncclComm* const comm = std::exchange(comm_, nullptr);
      if (const ncclResult_t result = ncclCommDestroy(comm)) fail(result, {"ncclCommDestroy", 0});
    }
  } catch (const Error& error) {  // nothing is lost but memory of the device, and that until this process ends
    log_warning(error.what());
    abort_communicator();
  }
  release();
}

void NcclCollective::connect() {
  forbid_graph_registration();
  const ncclUniqueId id = share_unique_id(control_, [&](ncclResult_t result) {
    if (result != ncclSuccess) fail(result, {"ncclGetUniqueId", 0});
  });
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;
  std::unique_lock lock(mutex_);
  finish(ncclCommInitRankConfig(&comm_, size_, id, rank_, &config), {"ncclCommInitRankConfig", 0}, lock);
}

void NcclCollective::allocate() {
  const size_t bytes = link_.buffer_floats * sizeof(float);
  const auto take = [&](float*& memory, size_t size) {
    void* taken = nullptr;
    if (const ncclResult_t result = ncclMemAlloc(&taken, size)) fail(result, {"ncclMemAlloc", size});
    memory = static_cast<float*>(taken);
  };
  take(buffer_, bytes);
  if (link_.add && size_ > 2) take(gathered_, bytes * static_cast<size_t>(size_));
  std::unique_lock lock(mutex_);  // a null window is no failure: the devices cannot share memory, and sums go another way
  finish(ncclCommWindowRegister(comm_, buffer_, bytes, &window_, NCCL_WIN_COLL_SYMMETRIC), {"ncclCommWindowRegister", bytes}, lock);
}

void NcclCollective::release() {
  cudaStreamSynchronize(static_cast<cudaStream_t>(link_.stream));  // ncclMemFree does not wait; what has failed is said elsewhere
  for (float* memory : {buffer_, gathered_}) {
    if (memory == nullptr) continue;
    if (const ncclResult_t result = ncclMemFree(memory)) log_warning(fmt::format("ncclMemFree failed: {}", ncclGetErrorString(result)));
  }
  buffer_ = gathered_ = nullptr;
}

std::span<float> NcclCollective::buffer(size_t count) {
  if (count > link_.buffer_floats) {
    throw Error(ErrorCode::kInternal, fmt::format("a sum of {} floats is longer than the {} announced", count, link_.buffer_floats));
  }
  return {buffer_, count};
}

std::span<float> NcclCollective::all_reduce(std::span<float> part) {
  if (part.empty()) return part;
  if (gathered_ != nullptr) return all_reduce_in_rank_order(part);
  std::unique_lock lock(mutex_);
  throw_if_broken();
  const auto stream = static_cast<cudaStream_t>(link_.stream);
  finish(ncclAllReduce(part.data(), part.data(), part.size(), ncclFloat32, ncclSum, comm_, stream), {"ncclAllReduce", part.size_bytes()}, lock);
  return part;
}

std::span<float> NcclCollective::all_reduce_in_rank_order(std::span<float> part) {
  if (part.size() > link_.buffer_floats) throw Error(ErrorCode::kInternal, fmt::format("a sum of {} floats is longer than announced", part.size()));
  {
    std::unique_lock lock(mutex_);
    throw_if_broken();
    const auto stream = static_cast<cudaStream_t>(link_.stream);
    finish(ncclAllGather(part.data(), gathered_, part.size(), ncclFloat32, comm_, stream), {"ncclAllGather", part.size_bytes()}, lock);
  }
  for (int rank = 1; rank < size_; ++rank) link_.add(gathered_, gathered_ + static_cast<size_t>(rank) * part.size(), part.size());
  return {gathered_, part.size()};
}

void NcclCollective::check() {
  std::unique_lock lock(mutex_);
  throw_if_broken();
  ncclResult_t result = ncclSuccess;
  const ncclResult_t asked = ncclCommGetAsyncError(comm_, &result);
  if (asked != ncclSuccess) result = asked;
  if (result != ncclSuccess && result != ncclInProgress) fail(result, {"a sum on the device", 0});
}

void NcclCollective::finish(int first, const Call& call, std::unique_lock<std::mutex>& lock) {
  auto result = static_cast<ncclResult_t>(first);
  const auto begin = Clock::now();
  while (result == ncclInProgress) {
    if (control_.aborted()) throw Error(ErrorCode::kRankLost, fmt::format("{} was given up: another rank has ended the job", place(call)));
    if (Clock::now() - begin > kPatience) {
      throw Error(ErrorCode::kRankLost, fmt::format("{} did not end within {} s: is a rank missing, or can the hosts not reach each other? "
                                                    "NCCL_DEBUG=INFO says more, NCCL_SOCKET_IFNAME names the network to use.",
                                                    place(call), kPatience.count()));
    }
    lock.unlock();
    if (Clock::now() - begin < kSpin) {
      std::this_thread::yield();
    } else {
      std::this_thread::sleep_for(kPollInterval);
    }
    lock.lock();
    throw_if_broken();
    if (const ncclResult_t asked = ncclCommGetAsyncError(comm_, &result)) result = asked;
  }
  if (result != ncclSuccess) fail(result, call);
}

void NcclCollective::fail(int failure, const Call& call) {
  throw Error(code_of(static_cast<ncclResult_t>(failure)), describe(failure, call));
}

std::string NcclCollective::describe(int failure, const Call& call) const {
  const auto result = static_cast<ncclResult_t>(failure);
  const char* last = ncclGetLastError(nullptr);
  return fmt::format("{} failed: {} (NCCL error {}){}{}. {}", place(call), ncclGetErrorString(result), failure,
                     last != nullptr && *last != '\0' ? ": " : "", last != nullptr ? last : "", advice(result));
}

std::string NcclCollective::place(const Call& call) const {
  const std::string size = call.bytes > 0 ? fmt::format(" ({} bytes)", call.bytes) : "";
  return fmt::format("{}{} on rank {} of {}", call.name, size, rank_, size_);
}

void NcclCollective::throw_if_broken() const {
  if (job_ended_) throw Error(ErrorCode::kRankLost, "another rank has ended the job");
  if (!broken_.empty()) throw Error(ErrorCode::kRankLost, broken_);
}

void NcclCollective::watch() {
  std::unique_lock lock(mutex_);
  while (!stopped_.wait_for(lock, kWatchInterval, [this] { return stop_; })) {
    job_ended_ = control_.aborted();
    ncclResult_t result = ncclSuccess;
    if (!job_ended_ && ncclCommGetAsyncError(comm_, &result) == ncclSuccess && (result == ncclSuccess || result == ncclInProgress)) continue;
    if (!job_ended_) broken_ = describe(result, {"a sum on the device", 0});
    lock.unlock();
    abort_communicator();
    return;
  }
}

void NcclCollective::abort_communicator() {
  ncclComm* comm = nullptr;
  {
    const std::lock_guard lock(mutex_);
    comm = std::exchange(comm_, nullptr);
    window_ = nullptr;
  }
  if (comm == nullptr) return;
  if (const ncclResult_t result = ncclCommAbort(comm)) log_warning(fmt::format("ncclCommAbort failed: {}", ncclGetErrorString(result)));
}

}  // namespace terrace
