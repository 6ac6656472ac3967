// Bytes between ranks: rank 0 broadcasts, every rank answers. Step thread only.
// Failure rule: a rank that cannot go on calls abort(), which ends every rank of the job; nobody unwinds alone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "kernels/base/error.h"

namespace terrace {

using Bytes = std::vector<std::byte>;

class Control {
 public:
  virtual ~Control() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;
  /// Rank 0's bytes reach every rank. On ranks > 0 `bytes` is replaced; while waiting a rank sleeps (it does not spin for long).
  virtual void broadcast(Bytes& bytes) = 0;
  /// Every rank's bytes, by rank, on rank 0 (of which the own is at [0]); empty elsewhere.
  virtual std::vector<Bytes> gather(std::span<const std::byte> bytes) = 0;
  virtual void barrier() = 0;
  /// Ends the whole job: prints `message` once, all ranks leave with exit_code(code). Under mpirun it does not return; with ranks as
  /// threads every rank's next call throws Error(kRankLost).
  virtual void abort(ErrorCode code, std::string_view message) = 0;
  /// Whether a rank has ended the job (ranks as threads; a process ends with it). Any thread.
  virtual bool aborted() const = 0;
  /// Tells the rank-death watch where this rank is.
  virtual void set_step(uint64_t step) = 0;
};

}  // namespace terrace
