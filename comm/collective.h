// Tensors between ranks. Every rank calls the same operations in the same order, from its step thread. Sums are made in rank order on every
// path, so that all ranks hold equal bits and a run can be repeated.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/base/function_ref.h"
#include "kernels/base/residual_norm.h"

namespace terrace {

class Collective {
 public:
  virtual ~Collective() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;
  /// Memory of `count` floats that a producer writes directly and all_reduce() then sums without a copy (e.g. this rank's shared-memory
  /// slot). Valid until the next call of buffer() or all_reduce(). With one rank: plain memory.
  virtual std::span<float> buffer(size_t count) = 0;
  /// The sum over ranks of `part`, in rank order; on every rank. `part` lies in the last buffer() (fast) or anywhere, and is lost: the sum
  /// may lie in it. Valid until the next call.
  virtual std::span<float> all_reduce(std::span<float> part) = 0;
  /// all_reduce() of a part [rows, cols] of which nothing but `then` is wanted, and that. Unless told otherwise `apply(sum)` does it, the backend's own op; a collective
  /// that is told otherwise does it in the sum's kernel, with equal bits, and calls nothing. The sum itself may then be nowhere.
  virtual void all_reduce_then_norm(std::span<float> part, const ResidualNorm& then, FunctionRef<void(std::span<float> sum)> apply);
  /// Between devices all_reduce() only queues a sum: throws if one since the last check has failed. Called when the host has waited for a step's
  /// results, before it uses them.
  virtual void check() {}
};

inline void Collective::all_reduce_then_norm(std::span<float> part, const ResidualNorm&, FunctionRef<void(std::span<float> sum)> apply) { apply(all_reduce(part)); }

}  // namespace terrace
