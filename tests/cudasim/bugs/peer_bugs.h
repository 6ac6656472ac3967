// Two devices that show each other 64 numbers while both run, with one mistake or none. Host code may include this.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

namespace bugs {

constexpr int kShown = 64;

/// What a device has for the other to write to; zeros at first.
struct PeerBoard {
  float numbers[kShown];
  uint32_t written, read, begun;
};

enum class PeerBug { kNone, kNoRelease, kNoAcquire, kNoBarrier };

/// Queues it: out[i] = i + 1, as the other wrote it.
void launch_show(PeerBug bug, PeerBoard* own, PeerBoard* other, float* out, cudaStream_t stream);
/// Waits for own->written.
void launch_wait(PeerBoard* own, cudaStream_t stream);

}  // namespace bugs
