// The kernels of PeerSum. Host code may include this.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

#include "kernels/base/peer_sum.h"

namespace terrace {

constexpr int kPeerSumBlocks = 32;  // at most: 128 KiB at a time

/// Where the ranks' parts meet. A rank's memory holds, of every rank, what that has written there.
struct PeerSumArgs {
  float* slots[PeerSum::kMaxRanks];     // by owner: [2: calls take turns][rank][slot_floats]
  uint32_t* flags[PeerSum::kMaxRanks];  // by owner: [rank][kPeerSumBlocks], the last call whose share has come
  unsigned long long* turn;             // this rank's own: calls begun << 32 | shares dealt of the next
  const uint32_t* stop;                 // not 0: wait no longer
  float* part;                          // becomes the sum, but where a norm follows
  uint32_t count;
  uint32_t slot_floats;                 // a multiple of 4
  int rank, size;
};

void launch_peer_sum(const PeerSumArgs& args, cudaStream_t stream);
/// args.part: [rows, cols] of then.residual, dense.
void launch_peer_sum_norm(const PeerSumArgs& args, const ResidualNorm& then, cudaStream_t stream);

}  // namespace terrace
