// Tensors between ranks. Every rank calls the same operations in the same order, from its step thread. Sums are made in rank order on every
// path, so that all ranks hold equal bits and a run can be repeated.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace terrace {

class Collective {
 public:
  virtual ~Collective() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;
  /// Memory of `count` floats that a producer writes directly and all_reduce() then sums without a copy (e.g. this rank's shared-memory
  /// slot). Valid until the next call of buffer(). With one rank: plain memory.
  virtual std::span<float> buffer(size_t count) = 0;
  /// data = sum over ranks of data, in rank order; on every rank. `data` lies in buffer() (fast) or anywhere.
  virtual void all_reduce(std::span<float> data) = 0;
};

}  // namespace terrace
