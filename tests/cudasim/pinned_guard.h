// Keeps host code from pinned memory that an operation will write (or from writing what one will read) until the host has waited for it: the pages are closed, and a fault inside the
// range is a finding; a fault beside it opens the page. Covers cudaHostAlloc and the whole pages of cudaHostRegister. One for the process; any thread.
#pragma once

#include <mutex>

#include "tests/cudasim/access_history.h"

namespace cudasim {

class PinnedGuard {
 public:
  static PinnedGuard& get();

  /// A copy was queued that will touch the range (a part of pinned memory), or a kernel has run that did.
  void add(const MemoryRange& range, bool write, int device, size_t stream, uint64_t count, const std::string& name);
  /// The host has waited for what the clock covers.
  void release(int device, const Clock& clock);
  /// The memory is being freed or unregistered.
  void forget(const void* begin, size_t bytes);

  /// For the operation that runs on this thread.
  void open(const void* begin, size_t bytes);
  void close();

  /// The fault handler's: says whether the access may go on now; otherwise `sentence` is the finding.
  bool on_fault(const void* address, bool device_side, std::string& sentence);

 private:
  struct Pending {
    uintptr_t begin, end;
    bool write;
    int device;
    size_t stream;
    uint64_t count;
    std::string name;
  };
  void protect(uintptr_t begin, uintptr_t end);

  std::recursive_mutex mutex_;
  std::vector<Pending> pending_;
};

}  // namespace cudasim
