#include "kernels/cuda/peer_sum_kernels.h"

#include <algorithm>

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/ptx.cuh"
#include "kernels/cuda/vector_access.cuh"

namespace terrace {

constexpr int kPeerSumThreads = 256;
constexpr int kPeerSumTile = kPeerSumThreads * 4;  // floats of a block at a time
constexpr uint32_t kLooksBetweenStops = 1024;      // asking the host's memory costs a journey over the link

struct PeerShare {
  uint32_t call;   // counted from 1, the same on all ranks
  uint32_t share;  // of the grid's
};

/// Shares are dealt in the order in which blocks begin, so the lowest one that is not done anywhere is always being worked on, or free to be: ranks that wait for each other come to an end
/// however few of their blocks run at once. Call and share lie in one word on the device: a recorded launch knows neither.
__device__ __forceinline__ PeerShare take_share(unsigned long long* turn) {
  __shared__ unsigned long long dealt;
  if (threadIdx.x == 0) {
    dealt = atomicAdd(turn, 1ull);
    if (static_cast<uint32_t>(dealt) + 1 == gridDim.x) atomicAdd(turn, (1ull << 32) - gridDim.x);  // the last one begins the next call
  }
  __syncthreads();
  return {static_cast<uint32_t>(dealt >> 32) + 1, static_cast<uint32_t>(dealt)};
}

__device__ __forceinline__ void await_flag(const uint32_t* flag, uint32_t call, const uint32_t* stop) {
  for (uint32_t looks = 1; static_cast<int32_t>(ptx::load_acquire_system(flag) - call) < 0; ++looks) {  // a peer may be a call ahead; numbers may come round
    if (looks % kLooksBetweenStops == 0 && ptx::load_acquire_system(stop) != 0) return;
  }
}

/// Each block writes its share of `part` into a slot of every peer's memory, says so by a flag that it releases there, waits for the peers' flags in its own memory, and adds the slots up.
/// Two slots are enough: who begins call n has seen all ranks begin call n - 1, and a rank's call n - 1 begins when its n - 2 has read its slots.
__global__ void __launch_bounds__(kPeerSumThreads) peer_sum_kernel(PeerSumArgs args, bool aligned) {
  const PeerShare now = take_share(args.turn);
  const int count = static_cast<int>(args.count);
  const int begin = static_cast<int>(now.share) * kPeerSumTile + static_cast<int>(threadIdx.x) * 4;
  const int step = static_cast<int>(gridDim.x) * kPeerSumTile;
  const size_t slots = static_cast<size_t>(now.call & 1) * static_cast<size_t>(args.size) * args.slot_floats;

  float* const own = args.part;
  for (int i = begin; i < count; i += step) {
    const float4 v = load4(own, i, count, aligned);
    for (int peer = 0; peer < args.size; ++peer) {
      if (peer != args.rank) store4(args.slots[peer] + slots + static_cast<size_t>(args.rank) * args.slot_floats, i, count, true, v);
    }
  }
  __syncthreads();
  const int peer = static_cast<int>(threadIdx.x);
  if (peer < args.size && peer != args.rank) {
    ptx::store_release_system(args.flags[peer] + args.rank * kPeerSumBlocks + now.share, now.call);
    await_flag(args.flags[args.rank] + peer * kPeerSumBlocks + now.share, now.call, args.stop);
  }
  __syncthreads();
  const float* const parts = args.slots[args.rank] + slots;
  for (int i = begin; i < count; i += step) {
    float4 sum = make_float4(0, 0, 0, 0);
    for (int rank = 0; rank < args.size; ++rank) {
      const float4 v = rank == args.rank ? load4(own, i, count, aligned) : load4(parts + static_cast<size_t>(rank) * args.slot_floats, i, count, true);
      sum = rank == 0 ? v : make_float4(sum.x + v.x, sum.y + v.y, sum.z + v.z, sum.w + v.w);
    }
    store4(own, i, count, aligned, sum);
  }
}

void launch_peer_sum(const PeerSumArgs& args, cudaStream_t stream) {
  const unsigned tiles = (args.count + kPeerSumTile - 1) / kPeerSumTile;
  launch("peer_sum", {dim3(std::min<unsigned>(tiles, kPeerSumBlocks)), dim3(kPeerSumThreads), 0, stream}, peer_sum_kernel, args, is_aligned(args.part));
}

}  // namespace terrace
