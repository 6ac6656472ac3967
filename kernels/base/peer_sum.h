// Sums of small messages between the devices of one host, through memory that all of them have open: one kernel a sum, no library. The CUDA module's; comm's one_shot_collective decides
// when it is used, and carries what the ranks must know of each other. Step thread, but for stop().
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "kernels/base/residual_norm.h"

namespace terrace {

struct PeerSumOptions {
  int rank = 0;
  int size = 1;              // 2 to PeerSum::kMaxRanks
  bool one_process = false;  // ranks are threads: plain pointers, where processes have IPC handles
  size_t max_floats = 0;     // of a sum
  void* stream = nullptr;    // a cudaStream_t
  std::function<Buffer(size_t bytes)> allocate;
};

class PeerSum {
 public:
  static constexpr int kMaxRanks = 8;

  virtual ~PeerSum() = default;
  /// What the other ranks need to open this one's memory, which stays where it is until they have.
  virtual std::vector<std::byte> card() const = 0;
  /// Opens the others' memory, by their cards in rank order. Throws an Error that says which cannot be reached, and why.
  virtual void open(std::span<const std::vector<std::byte>> cards) = 0;
  /// Before any rank's memory goes: waits for the stream and lets go of the others'.
  virtual void close() = 0;
  /// Queues part = sum over ranks of part, added in rank order: equal bits on all ranks. All ranks call it with the same count, max_floats at most.
  virtual void add_up(float* part, size_t count) = 0;
  /// The same of a part [rows, cols], with what follows; the sum is kept nowhere.
  virtual void add_up_then_norm(float* part, const ResidualNorm& then) = 0;
  /// Ends the waiting of kernels for ranks that will not come; sums are then wrong. Any thread.
  virtual void stop() = 0;
};

}  // namespace terrace
