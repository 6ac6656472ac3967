// NCCL's functions, as far as terrace calls them: what is not here does not link. Sums are of floats only. Not simulated: groups of several communicators, registered memory's
// speed, transports; a peer that has aborted shows only as a collective that does not end, the worst that NCCL does.
#include <fmt/format.h>

#include <cstring>
#include <map>
#include <set>

#include "tests/cudasim/core.h"
#include "tests/cudasim/leaks.h"
#include "tests/cudasim/nccl/communicator.h"

struct ncclWindow_vidmem {
  ncclComm* comm;
};
struct ncclComm {
  std::shared_ptr<cudasim::Communicator> inner;
  std::vector<std::unique_ptr<ncclWindow_vidmem>> windows;
};

namespace cudasim {
namespace {

/// Handles that are alive, to tell a wrong one, and for the count of leaks.
struct Handles {
  std::mutex mutex;
  std::set<ncclComm*> communicators;
  std::map<void*, size_t> memory;
};

Handles& handles() {
  static auto& all = *new Handles;  // asked at the exit
  return all;
}

std::shared_ptr<Communicator> find(ncclComm* comm, const char* function) {
  const std::lock_guard lock(handles().mutex);
  if (handles().communicators.contains(comm)) return comm->inner;
  report(fmt::format("{}: this communicator does not exist (any more)", function));
  return nullptr;
}

std::shared_ptr<Communicator> take(ncclComm* comm, const char* function) {
  std::shared_ptr<Communicator> inner = find(comm, function);
  if (inner == nullptr) return nullptr;
  const std::lock_guard lock(handles().mutex);
  handles().communicators.erase(comm);
  delete comm;
  return inner;
}

ncclResult_t inject(const char* function) {
  set_last_nccl_error(fmt::format("{}: injected failure", function));
  return ncclSystemError;
}

size_t size_of(ncclDataType_t type) {
  switch (type) {
    case ncclInt8: case ncclUint8: case ncclFloat8e4m3: case ncclFloat8e5m2: return 1;
    case ncclFloat16: case ncclBfloat16: return 2;
    case ncclInt64: case ncclUint64: case ncclFloat64: return 8;
    default: return 4;
  }
}

ncclResult_t collective(ncclComm* comm, const char* function, const CollectiveHeader& header, const void* send, size_t send_bytes, void* recv, size_t recv_bytes,
                        cudaStream_t stream) {
  const std::shared_ptr<Communicator> inner = find(comm, function);
  if (inner == nullptr) return ncclInvalidArgument;
  if (call_fails(function)) {
    inner->fail(ncclSystemError, fmt::format("{}: injected failure", function));
    return ncclSystemError;
  }
  return inner->queue(header, send, send_bytes, recv, recv_bytes, stream);
}

}  // namespace

size_t live_nccl_communicators() {
  const std::lock_guard lock(handles().mutex);
  return handles().communicators.size();
}

}  // namespace cudasim

using namespace cudasim;
using Kind = CollectiveHeader::Kind;

extern "C" {

ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
  if (call_fails("ncclGetUniqueId")) return inject("ncclGetUniqueId");
  const Meeting::Key key = Meeting::create(settings().seed);
  if (key.fd < 0) return ncclSystemError;
  std::memset(id, 0, sizeof *id);
  std::memcpy(id, &key, sizeof key);
  return ncclSuccess;
}

ncclResult_t ncclCommInitRankConfig(ncclComm_t* comm, int size, ncclUniqueId id, int rank, ncclConfig_t* config) {
  *comm = nullptr;
  if (call_fails("ncclCommInitRankConfig")) return inject("ncclCommInitRankConfig");
  if (size < 1 || size > Meeting::kMaxRanks || rank < 0 || rank >= size) return ncclInvalidArgument;
  if (config != nullptr && config->magic != 0xcafebeef) {
    report("ncclCommInitRankConfig: the configuration does not begin with NCCL_CONFIG_INITIALIZER");
    return ncclInvalidArgument;
  }
  Meeting::Key key;
  std::memcpy(static_cast<void*>(&key), &id, sizeof key);
  auto made = std::make_unique<ncclComm>();
  made->inner = std::make_shared<Communicator>(key, rank, size, config == nullptr || config->blocking != 0);
  *comm = made.release();
  {
    const std::lock_guard lock(handles().mutex);
    handles().communicators.insert(*comm);
  }
  const CollectiveHeader header = {.kind = Kind::kInit, .count = static_cast<uint64_t>(size)};
  return (*comm)->inner->run_host_call([header](Communicator& inner) { return inner.meet_on_host(header); });
}

ncclResult_t ncclAllReduce(const void* send, void* recv, size_t count, ncclDataType_t type, ncclRedOp_t reduction, ncclComm_t comm, cudaStream_t stream) {
  if (type != ncclFloat32 || reduction != ncclSum) unsupported(fmt::format("ncclAllReduce of type {} with reduction {}", static_cast<int>(type), static_cast<int>(reduction)));
  const CollectiveHeader header = {Kind::kAllReduce, type, reduction, 0, count};
  return collective(comm, "ncclAllReduce", header, send, count * sizeof(float), recv, count * sizeof(float), stream);
}

ncclResult_t ncclAllGather(const void* send, void* recv, size_t count, ncclDataType_t type, ncclComm_t comm, cudaStream_t stream) {
  const std::shared_ptr<Communicator> inner = find(comm, "ncclAllGather");
  if (inner == nullptr) return ncclInvalidArgument;
  const size_t bytes = count * size_of(type);
  return collective(comm, "ncclAllGather", {Kind::kAllGather, type, 0, 0, count}, send, bytes, recv, bytes * static_cast<size_t>(inner->size()), stream);
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t* result) {  // not counted as a call: how often it is asked depends on the clock
  const std::shared_ptr<Communicator> inner = find(comm, "ncclCommGetAsyncError");
  if (inner == nullptr) return ncclInvalidArgument;
  *result = inner->state();
  return ncclSuccess;
}

ncclResult_t ncclCommFinalize(ncclComm_t comm) {
  const std::shared_ptr<Communicator> inner = find(comm, "ncclCommFinalize");
  if (inner == nullptr) return ncclInvalidArgument;
  if (call_fails("ncclCommFinalize")) return inject("ncclCommFinalize");
  return inner->run_host_call([](Communicator& finished) { 
    const ncclResult_t result = finished.flush();
    finished.await_graphs("ncclCommFinalize");
    return result;
  });
}

ncclResult_t ncclCommDestroy(ncclComm_t comm) {
  const std::shared_ptr<Communicator> inner = take(comm, "ncclCommDestroy");
  if (inner == nullptr) return ncclInvalidArgument;
  inner->abort();
  inner->await_graphs("ncclCommDestroy");
  return call_fails("ncclCommDestroy") ? inject("ncclCommDestroy") : ncclSuccess;
}

ncclResult_t ncclCommAbort(ncclComm_t comm) {
  const std::shared_ptr<Communicator> inner = take(comm, "ncclCommAbort");
  if (inner == nullptr) return ncclInvalidArgument;
  inner->abort();
  inner->await_graphs("ncclCommAbort");
  return ncclSuccess;
}

const char* ncclGetErrorString(ncclResult_t result) {
  switch (result) {
    case ncclSuccess: return "no error";
    case ncclUnhandledCudaError: return "unhandled cuda error (run with NCCL_DEBUG=INFO for details)";
    case ncclSystemError: return "unhandled system error (run with NCCL_DEBUG=INFO for details)";
    case ncclInternalError: return "internal error - please report this issue to the NCCL developers";
    case ncclInvalidArgument: return "invalid argument (run with NCCL_DEBUG=WARN for details)";
    case ncclInvalidUsage: return "invalid usage (run with NCCL_DEBUG=WARN for details)";
    case ncclRemoteError: return "remote process exited or there was a network error";
    case ncclInProgress: return "NCCL operation in progress";
    default: return "unknown result code";
  }
}

const char* ncclGetLastError(ncclComm_t) { return last_nccl_error(); }

ncclResult_t ncclMemAlloc(void** memory, size_t bytes) {
  if (call_fails("ncclMemAlloc")) return inject("ncclMemAlloc");
  if (cudaMalloc(memory, bytes) != cudaSuccess) {
    set_last_nccl_error(fmt::format("cudaMalloc of {} bytes failed", bytes));
    return ncclUnhandledCudaError;
  }
  const std::lock_guard lock(handles().mutex);
  handles().memory[*memory] = bytes;
  return ncclSuccess;
}

ncclResult_t ncclMemFree(void* memory) {
  {
    const std::lock_guard lock(handles().mutex);
    if (handles().memory.erase(memory) == 0) {
      report("ncclMemFree of memory that ncclMemAlloc has not given");
      return ncclInvalidArgument;
    }
  }
  return cudaFree(memory) == cudaSuccess ? ncclSuccess : ncclUnhandledCudaError;
}

ncclResult_t ncclCommWindowRegister(ncclComm_t comm, void* memory, size_t bytes, ncclWindow_t* window, int) {
  *window = nullptr;
  const std::shared_ptr<Communicator> inner = find(comm, "ncclCommWindowRegister");
  if (inner == nullptr) return ncclInvalidArgument;
  if (call_fails("ncclCommWindowRegister")) return inject("ncclCommWindowRegister");
  {
    const std::lock_guard lock(handles().mutex);
    const auto found = handles().memory.find(memory);
    if (found == handles().memory.end() || found->second < bytes) {
      report("ncclCommWindowRegister of memory that is no whole ncclMemAlloc");
      return ncclInvalidArgument;
    }
  }
  const CollectiveHeader header = {.kind = Kind::kWindow, .count = bytes};
  return inner->run_host_call([=](Communicator& met) {
    const ncclResult_t result = met.meet_on_host(header);
    if (result == ncclSuccess && settings().seed % 3 != 0) {  // every third seed: devices without symmetric memory
      *window = comm->windows.emplace_back(new ncclWindow_vidmem{comm}).get();
    }
    return result;
  });
}

ncclResult_t ncclCommWindowDeregister(ncclComm_t comm, ncclWindow_t window) {
  if (find(comm, "ncclCommWindowDeregister") == nullptr) return ncclInvalidArgument;
  if (call_fails("ncclCommWindowDeregister")) return inject("ncclCommWindowDeregister");
  if (std::erase_if(comm->windows, [&](const auto& known) { return known.get() == window; }) == 1) return ncclSuccess;
  report("ncclCommWindowDeregister of a window that this communicator does not have");
  return ncclInvalidArgument;
}

}  // extern "C"
