#include "tests/cudasim/bugs/peer_bugs.h"

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/ptx.cuh"
#include "tests/cudasim/bugs/ptx.cuh"

namespace bugs {

/// Neither begins to write before both run, nor ends before both have read: so it is not the beginning or end of a kernel that makes stores seen.
template <PeerBug kBug>
__global__ void show(PeerBoard* own, PeerBoard* other, float* out) {
  const int i = static_cast<int>(threadIdx.x);
  if (i == 0) {
    ptx::store_relaxed_system(&other->begun, 1);
    while (ptx::load_relaxed_system(&own->begun) == 0) {
    }
  }
  __syncthreads();
  other->numbers[i] = static_cast<float>(i + 1);
  if (kBug != PeerBug::kNoBarrier) __syncthreads();
  if (i == 0) {
    if (kBug == PeerBug::kNoRelease) ptx::store_relaxed_system(&other->written, 1);
    else terrace::ptx::store_release_system(&other->written, 1);
    while ((kBug == PeerBug::kNoAcquire ? ptx::load_relaxed_system(&own->written) : terrace::ptx::load_acquire_system(&own->written)) == 0) {
    }
  }
  __syncthreads();
  out[i] = own->numbers[i];
  __syncthreads();
  if (i == 0) {
    ptx::store_relaxed_system(&other->read, 1);
    while (ptx::load_relaxed_system(&own->read) == 0) {
    }
  }
}

__global__ void wait_alone(PeerBoard* own) {
  if (threadIdx.x > 0) return;
  while (terrace::ptx::load_acquire_system(&own->written) == 0) {
  }
}

void launch_show(PeerBug bug, PeerBoard* own, PeerBoard* other, float* out, cudaStream_t stream) {
  const terrace::LaunchShape shape = {{1}, {kShown}, 0, stream};
  switch (bug) {
    case PeerBug::kNone: return terrace::launch("show", shape, show<PeerBug::kNone>, own, other, out);
    case PeerBug::kNoRelease: return terrace::launch("show", shape, show<PeerBug::kNoRelease>, own, other, out);
    case PeerBug::kNoAcquire: return terrace::launch("show", shape, show<PeerBug::kNoAcquire>, own, other, out);
    case PeerBug::kNoBarrier: return terrace::launch("show", shape, show<PeerBug::kNoBarrier>, own, other, out);
  }
}

void launch_wait(PeerBoard* own, cudaStream_t stream) { terrace::launch("wait", {{1}, {32}, 0, stream}, wait_alone, own); }

}  // namespace bugs
