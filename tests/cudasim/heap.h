// Device memory: one range of addresses a device, closed (PROT_NONE) but while an operation runs, so that host code which touches it is stopped. Each allocation ends in a page that
// nothing may touch; freed memory becomes such pages too and its addresses never come back. Any thread: operations of other devices open it, too.
#pragma once

#include <mutex>

#include "tests/cudasim/core.h"

namespace cudasim {

class Heap {
 public:
  Heap(int device, size_t capacity_bytes);

  /// 4096-byte aligned, filled with 0xFF; null if no room is left. `imported`: addresses for another process's memory, which take no room here.
  void* allocate(size_t bytes, bool imported = false);
  /// False if `memory` is no live allocation of this heap.
  bool release(void* memory);
  size_t capacity_bytes() const { return capacity_bytes_; }
  size_t free_bytes() const { return capacity_bytes_ - live_bytes_; }
  bool contains(const void* address) const {
    const auto* p = static_cast<const unsigned char*>(address);
    return p >= base_ && p < base_ + kAddressSpace;
  }

  /// Nests.
  void open();
  void close();

 private:
  static constexpr size_t kAddressSpace = size_t{256} << 30;
  void protect(int protection);
  void map_forbidden(unsigned char* begin, size_t bytes);

  std::recursive_mutex mutex_;  // all below
  int device_;
  size_t capacity_bytes_;
  size_t live_bytes_ = 0;
  uint64_t num_allocations_ = 0;
  int depth_ = 0;
  int forbidden_file_ = -1;
  unsigned char* base_ = nullptr;
  unsigned char* next_ = nullptr;
};

/// Opens for a scope.
class OpenHeap {
 public:
  explicit OpenHeap(Heap& heap) : heap_(heap) { heap_.open(); }
  ~OpenHeap() { heap_.close(); }
  OpenHeap(const OpenHeap&) = delete;
  OpenHeap& operator=(const OpenHeap&) = delete;

 private:
  Heap& heap_;
};

}  // namespace cudasim
