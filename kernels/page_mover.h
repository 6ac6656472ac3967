// Whole pages between the device's pool and a host pool, beside the ops: the hands of the page store, which is told what moves. Owns the host pool unless it is given one. Step
// thread only.
//
// A move is queued and has a ticket. An eviction reads what all ops queued before it have written; a fetch overwrites its device frame only after them. What comes later must
// be ordered by the caller: ops that use a fetched page, or write into the frame of an evicted one, by order_ops_after(); host reads of an evicted page, and its host frame's
// next use, by finished() or wait(). Ops that read a host frame in place (KvPool::host) are queued when its page has come; what the host itself writes there later waits for them by wait_for_ops().
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

namespace terrace {

class Clock;
class PageCodec;

class PageMover {
 public:
  /// Pages, as they are stored, that a device's mover keeps on the device where there is a codec.
  static constexpr size_t kStagedPages = 16;

  enum class Direction { kEvict, kFetch };  // device to host, host to device
  struct Move {
    uint32_t device_frame;
    uint32_t host_frame;
  };
  using Ticket = uint64_t;  // ascending; 0 has always finished

  /// Copies under way are finished or dropped; the pools are touched no more.
  virtual ~PageMover() = default;
  virtual Ticket evict(std::span<const Move> moves) = 0;
  virtual Ticket fetch(std::span<const Move> moves) = 0;
  bool finished(Ticket ticket) { return finished_us(ticket).has_value(); }
  /// When it finished, by the clock of the options, however late it is asked; of a ticket asked for before: now. nullopt: not yet.
  virtual std::optional<int64_t> finished_us(Ticket ticket) = 0;
  virtual void wait(Ticket ticket) = 0;
  /// Ops queued from now on run after these copies; on a device the caller does not wait.
  virtual void order_ops_after(Ticket ticket) = 0;
  /// Returns when the ops queued so far have read what they read of the host pool.
  virtual void wait_for_ops() {}
  /// The host's page, in host memory.
  virtual std::byte* host_page(uint32_t host_frame) = 0;
  /// XXH3-64 of what the last finished copy of this host frame in this direction carried (with a codec: of the host's page), made where the ops run, in the order of the copies.
  virtual uint64_t checksum(Direction direction, uint32_t host_frame) = 0;
};

/// A link modelled between two pools that are the same memory (CPU backend). Each direction is a queue: a copy is finished when it was made, and no
/// earlier than the copies queued before it, its bytes and the latency take.
struct PageLink {
  double bytes_per_second = 0;  // 0: as fast as the memory
  int64_t latency_us = 0;
};

struct PageMoverOptions {
  std::byte* device_base = nullptr;  // the device's pool
  size_t page_bytes = 0;             // PageLayout::page_stride, a multiple of 64
  const PageCodec* codec = nullptr;  // of the same backend: host pages are in another format; must outlive the mover
  uint32_t num_host_frames = 0;
  std::byte* host_base = nullptr;  // CPU backend: the host pool, aligned to 64; null: the mover allocates its own. A device's mover always does.
  PageLink link = {};                   // CPU backend; a device has its own
  Clock* clock = nullptr;          // null: the machine's
};

}  // namespace terrace
