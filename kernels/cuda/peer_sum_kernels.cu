#include "kernels/cuda/peer_sum_kernels.h"

#include <algorithm>

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/ptx.cuh"
#include "kernels/cuda/rms_norm_row.cuh"

namespace terrace {

constexpr int kPeerSumThreads = kRowThreads;
constexpr int kPeerSumTile = kTileFloats;  // floats of a block at a time
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

/// Calls take turns between two sets of slots: where the call's begins, in floats.
__device__ __forceinline__ size_t slots_of(const PeerSumArgs& args, uint32_t call) { return static_cast<size_t>(call & 1) * static_cast<size_t>(args.size) * args.slot_floats; }

/// All that is added up, or a row of it, in the ranks' parts: at the same place in all of them.
struct PeerParts {
  const PeerSumArgs& args;
  float* own;
  size_t in_slots;  // where rank 0's begins; the others' are slot_floats apart
  int count;
  bool own_aligned, slots_aligned;

  /// Writes this rank's four floats from `i` on into its slot of every peer's memory.
  __device__ __forceinline__ void send(int i) const {
    const float4 v = load4(own, i, count, own_aligned);
    for (int peer = 0; peer < args.size; ++peer) {
      if (peer != args.rank) store4(args.slots[peer] + in_slots + static_cast<size_t>(args.rank) * args.slot_floats, i, count, slots_aligned, v);
    }
  }

  /// The sum of all ranks' four, in rank order, when the peers' have come.
  __device__ __forceinline__ float4 sum(int i) const {
    const float* const parts = args.slots[args.rank] + in_slots;
    float4 sum = make_float4(0, 0, 0, 0);
    for (int rank = 0; rank < args.size; ++rank) {
      const float4 v = rank == args.rank ? load4(own, i, count, own_aligned) : load4(parts + static_cast<size_t>(rank) * args.slot_floats, i, count, slots_aligned);
      sum = rank == 0 ? v : make_float4(sum.x + v.x, sum.y + v.y, sum.z + v.z, sum.w + v.w);
    }
    return sum;
  }
};

/// Tells every peer, by a flag released in its memory, that the block's share has been written there, and waits for the peers' flags at home.
__device__ __forceinline__ void meet_peers(const PeerSumArgs& args, const PeerShare& now) {
  __syncthreads();
  const int peer = static_cast<int>(threadIdx.x);
  if (peer < args.size && peer != args.rank) {
    ptx::store_release_system(args.flags[peer] + args.rank * kPeerSumBlocks + now.share, now.call);
    await_flag(args.flags[args.rank] + peer * kPeerSumBlocks + now.share, now.call, args.stop);
  }
  __syncthreads();
}

/// Each block writes its share of the part to the peers, meets them, and adds up. Two slots are enough: who begins call n has seen all ranks begin call n - 1, and a rank's call n - 1 begins when its
/// n - 2 has read its slots.
__global__ void __launch_bounds__(kPeerSumThreads) peer_sum_kernel(PeerSumArgs args, bool aligned) {
  const PeerShare now = take_share(args.turn);
  const PeerParts parts = {args, args.part, slots_of(args, now.call), static_cast<int>(args.count), aligned, true};
  const int begin = static_cast<int>(now.share) * kPeerSumTile + static_cast<int>(threadIdx.x) * kThreadFloats;
  const int step = static_cast<int>(gridDim.x) * kPeerSumTile;
  for (int i = begin; i < parts.count; i += step) parts.send(i);
  meet_peers(args, now);
  for (int i = begin; i < parts.count; i += step) store4(args.part, i, parts.count, aligned, parts.sum(i));
}

struct PeerNormArgs {
  PeerSumArgs sum;
  ResidualNorm then;
  bool aligned;        // all rows but those in the slots
  bool slots_aligned;
};

/// The same where a share is whole rows, and the block that adds one up is the one to add it to the residual and norm it.
__global__ void __launch_bounds__(kPeerSumThreads) peer_sum_norm_kernel(PeerNormArgs args) {
  __shared__ float partial[kRowWarps];
  const PeerShare now = take_share(args.sum.turn);
  const int rows = static_cast<int>(args.then.residual.rows), cols = static_cast<int>(args.then.residual.cols);
  const size_t slots = slots_of(args.sum, now.call);
  const auto parts_of = [&](int row) {
    const size_t begin = static_cast<size_t>(row) * static_cast<size_t>(cols);
    return PeerParts{args.sum, args.sum.part + begin, slots + begin, cols, args.aligned, args.slots_aligned};
  };
  const int first = static_cast<int>(now.share), step = static_cast<int>(gridDim.x);
  for (int row = first; row < rows; row += step) {
    const PeerParts parts = parts_of(row);
    for (int i = static_cast<int>(threadIdx.x) * kThreadFloats; i < cols; i += kTileFloats) parts.send(i);
  }
  meet_peers(args.sum, now);
  for (int row = first; row < rows; row += step) {
    const PeerParts parts = parts_of(row);
    const NormRow norm = {args.then.residual.data + row * args.then.residual.stride, args.then.weight, args.then.out.data + row * args.then.out.stride, cols, args.then.eps, args.aligned};
    if (row != first) __syncthreads();  // `partial` has been read
    rms_norm_row(norm, partial, [&](int i) { return add_to_row(norm, i, parts.sum(i)); });
  }
}

void launch_peer_sum(const PeerSumArgs& args, cudaStream_t stream) {
  const unsigned tiles = (args.count + kPeerSumTile - 1) / kPeerSumTile;
  launch("peer_sum", {dim3(std::min<unsigned>(tiles, kPeerSumBlocks)), dim3(kPeerSumThreads), 0, stream}, peer_sum_kernel, args, is_aligned(args.part));
}

void launch_peer_sum_norm(const PeerSumArgs& args, const ResidualNorm& then, cudaStream_t stream) {
  const auto rows = static_cast<unsigned>(then.residual.rows);
  const bool by_fours = then.residual.cols % kThreadFloats == 0;
  const bool aligned = by_fours && is_aligned(args.part) && rows_are_aligned(then.residual) && rows_are_aligned(then.out) && is_aligned(then.weight);
  launch("peer_sum_norm", {dim3(std::min<unsigned>(rows, kPeerSumBlocks)), dim3(kPeerSumThreads), 0, stream}, peer_sum_norm_kernel, PeerNormArgs{args, then, aligned, by_fours});
}

}  // namespace terrace
