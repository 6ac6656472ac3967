// Pinned host memory that copies go through: a ring of slots, filled by writes one after another (small ones share a slot) and
// reused when the event after a slot's last copy has passed. Owned by CudaDevice; step thread only.
#pragma once

#include <cuda_runtime_api.h>

#include <array>
#include <cstddef>
#include <span>

namespace terrace {

class PinnedRing {
 public:
  static constexpr size_t kSlotBytes = size_t{1} << 20;

  explicit PinnedRing(cudaStream_t stream) : stream_(stream) {}
  /// Waits for the copies under way.
  ~PinnedRing();
  PinnedRing(const PinnedRing&) = delete;
  PinnedRing& operator=(const PinnedRing&) = delete;

  /// Queues the copy to the device; `src` may change at once.
  void write(void* dst, std::span<const std::byte> src);
  /// Device to host, `rows` rows of row_bytes that lie src_pitch apart. Waits for the stream.
  void read(const void* src, size_t src_pitch, size_t row_bytes, size_t rows, std::byte* dst);

 private:
  struct Slot {
    std::byte* data = nullptr;
    cudaEvent_t sent = nullptr;
    bool waited = true;  // no copy from this slot is under way
  };
  static constexpr size_t kNumSlots = 4;

  void make(Slot& slot);
  /// Turns to the next slot and waits until it is free.
  void advance();

  cudaStream_t stream_;
  std::array<Slot, kNumSlots> slots_;  // memory and events are made at first use
  size_t current_ = 0;
  size_t used_ = 0;  // bytes of the current slot
};

}  // namespace terrace
