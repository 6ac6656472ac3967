// What every address of the process's simulated memory is: device allocations, live and freed, and pinned host memory. One for all devices; any thread.
#pragma once

#include <atomic>
#include <map>
#include <shared_mutex>

#include "tests/cudasim/core.h"

namespace cudasim {

class MemoryMap {
 public:
  static MemoryMap& get();

  void add(const AllocationInfo& info);
  /// Device memory that stays known as freed.
  void mark_freed(const void* begin);
  void remove(const void* begin);
  /// The last entry that begins at or below `address`; kind kUnknown if there is none.
  AllocationInfo below(const void* address) const;
  /// Entries in use of a device's memory (or pinned: device -1).
  std::vector<AllocationInfo> live(MemoryKind kind, int device) const;
  /// Changes whenever an entry does.
  uint64_t generation() const { return generation_.load(std::memory_order_acquire); }

 private:
  mutable std::shared_mutex mutex_;
  std::map<const unsigned char*, AllocationInfo> entries_;
  std::atomic<uint64_t> generation_{1};
};

}  // namespace cudasim
