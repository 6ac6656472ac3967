// Tensors between ranks whose memory is a device's: how a Collective for them comes to be. Step thread only.
//
// With one rank there is nothing to add up and buffer() is a piece of device memory; with more it is NCCL's, in the CUDA module, with small
// sums through the devices' own memory where they reach each other's (one_shot_collective). A sum is
// queued on the backend's stream and all_reduce() returns at once: what reads the sum is queued behind it.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>

#include "comm/group.h"
#include "kernels/base/tensor.h"

namespace terrace {

/// The backend as comm sees it.
struct DeviceLink {
  void* stream = nullptr;     // a cudaStream_t: the queue that the backend's ops run on
  size_t buffer_floats = 0;   // the longest buffer(): a rank's hidden states of a whole step
  std::function<Buffer(size_t bytes)> allocate;
  /// sum += part, `count` floats each. Where it is given, more than two parts are added in rank order (LAW 4): NCCL's own order depends on where
  /// in the message a number stands, hence on the other rows of the batch. Two parts have one order.
  std::function<void(float* sum, const float* part, size_t count)> add;
  /// Destroys the graphs that hold sums, without waiting for the device: NCCL ends no communicator while one is alive.
  std::function<void()> forget_graphs;
};

/// Every rank of the job calls it, after each has made its backend. `group` outlives the result, and so does what `link` refers to.
std::unique_ptr<Collective> make_device_collective(RankGroup& group, const DeviceLink& link);

}  // namespace terrace
