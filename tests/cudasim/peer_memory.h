// Device memory that several processes have open (cudaIpc*): a home that all of them map, and in each process a view, which is what its kernels see at their addresses. As weak as a device
// may be: a plain store stays in the view until a release that it is ordered before (or the end of its operation) carries it home, and a plain load sees the view, which an acquire (or the
// beginning of an operation) brings up to date. Strong accesses go to the home. Any thread; a view is used by the thread that runs its device's operation.
#pragma once

#include <cuda_runtime_api.h>

#include <atomic>
#include <map>
#include <mutex>

#include "tests/cudasim/core.h"

namespace cudasim {

class PeerMemory {
 public:
  static PeerMemory& get();

  /// The handle of a whole allocation of this process.
  cudaError_t share(const AllocationInfo& info, cudaIpcMemHandle_t& handle);
  struct Import {
    void* home = nullptr;
    size_t bytes = 0;
  };
  /// Maps another process's; no home if that is gone. `own`: the handle was made by this process.
  static Import map_home(const cudaIpcMemHandle_t& handle, bool& own);
  /// `view`: memory of this process, as large.
  void add_view(void* view, const Import& import);
  /// The importer closes it, or the owner frees it: a finding while others have it open.
  void remove(const void* view);

  bool covers(const void* address) const {
    const auto at = reinterpret_cast<uintptr_t>(address);
    return at >= lowest_.load(std::memory_order_relaxed) && at < highest_.load(std::memory_order_relaxed);
  }
  /// A plain store of the current lane, about to happen.
  void note_store(const void* address, size_t bytes);
  /// Where strong accesses go: the home's byte, or `address` itself.
  void* home_of(const void* address);
  /// What the current lane has done, and what barriers of its block have ordered before now, goes home.
  void release();
  /// All views see what has come home.
  void acquire();
  /// An operation of this thread begins, or has ended; what it has written other than by lanes.
  void begin_operation();
  void end_operation(const std::vector<MemoryRange>& written);

 private:
  struct Home;
  struct View {
    Home* home = nullptr;
    size_t bytes = 0;
    uint64_t version = 0;  // of the home, that it shows
    bool imported = false;
    int fd = -1;
  };
  struct Store {
    uintptr_t begin;
    size_t bytes;
    uint64_t block;
    int lane;
    uint32_t epoch;
  };
  using Views = std::map<uintptr_t, View>;

  static std::vector<Store>& stores();  // of this thread's operation, not home yet
  Views::iterator find(uintptr_t address);
  void carry_home(uintptr_t begin, size_t bytes);
  void refresh(uintptr_t begin, View& view);
  void set_range();

  std::recursive_mutex mutex_;
  Views views_;
  std::atomic<uintptr_t> lowest_{0}, highest_{0};
};

}  // namespace cudasim
