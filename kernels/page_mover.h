// Whole pages between the device's pool and a host pool, beside the ops: the hands of the tier manager, which decides what moves. Owns the host pool. Step thread only.
//
// A move is queued and has a ticket. An eviction reads what all ops queued before it have written; a fetch overwrites its device frame only after them. What comes later must
// be ordered by the caller: ops that use a fetched page, or write into the frame of an evicted one, by order_ops_after(); host reads of an evicted page, and its host frame's
// next use, by finished() or wait().
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>


namespace terrace {

class PageMover {
 public:
  struct Move {
    uint32_t device_frame;
    uint32_t host_frame;
  };
  using Ticket = uint64_t;  // ascending; 0 has always finished

  virtual ~PageMover() = default;
  virtual Ticket evict(std::span<const Move> moves) = 0;  // device to host
  virtual Ticket fetch(std::span<const Move> moves) = 0;  // host to device
  virtual bool finished(Ticket ticket) = 0;
  virtual void wait(Ticket ticket) = 0;
  /// Ops queued from now on run after these copies; the caller does not wait.
  virtual void order_ops_after(Ticket ticket) = 0;
  /// page_stride bytes of host memory.
  virtual std::byte* host_page(uint32_t host_frame) = 0;
};

struct PageMoverOptions {
  std::byte* device_base = nullptr;  // the device's pool
  size_t page_bytes = 0;             // PageLayout::page_stride
  uint32_t num_host_frames = 0;
};

}  // namespace terrace
