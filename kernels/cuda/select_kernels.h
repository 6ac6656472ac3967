// The largest columns of rows of logits with the parts of their log-sum-exp, in two kernels: one reads the logits in chunks, the
// other joins a row's chunks. Sums follow one tree that the number of columns alone shapes. Launched from the step thread.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "kernels/base/tensor.h"

namespace terrace {

inline constexpr int64_t kDeviceSelectChunk = 2048;  // columns
inline constexpr int64_t kMaxSortedKeys = 4096;
inline constexpr int64_t kMaxTopGroups = 128;        // the largest count that is selected on the device

/// Of a row or a chunk.
struct LogitStats {
  float max;
  float sum_exp;  // of exp(logit - max)
};
/// An entry of a row's answer; token < 0: no more (the row has fewer than count columns, or NaN, which is never selected).
struct DeviceTokenLogit {
  int32_t token;
  float logit;
};

struct SelectArgs {
  MatrixView logits;
  int32_t count = 0;       // wanted; 0: statistics only
  int32_t group_cols = 0;  // 32, 64 or 128: columns that the first kernel reduces to their largest
  LogitStats* chunks = nullptr;        // [rows, ceil(cols / kDeviceSelectChunk)] scratch
  uint32_t* group_keys = nullptr;      // [rows, ceil(cols / group_cols)] scratch
  LogitStats* stats = nullptr;         // [rows] answer
  DeviceTokenLogit* top = nullptr;     // [rows, count] answer, largest first
};

/// The group_cols with which the least is sorted, or 0 where the device cannot select so many.
int32_t select_group_cols(int64_t cols, int64_t count);
void launch_select(const SelectArgs& args, cudaStream_t stream);

}  // namespace terrace
