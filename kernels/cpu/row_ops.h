// The float ops that work on one row, or a part of one, at a time: norm, add, gating, rotation, the write of K and V,
// and the first pass of selection. A table of functions per ISA, called from pool threads; plain pointers only, since
// ISA-specific files include this.
#pragma once

#include <cstdint>

#include "kernels/cpu/attention_tile.h"

namespace terrace {

/// select_top() looks at columns in blocks and sums them in chunks; both are fixed, so that sums don't depend on who
/// does what.
inline constexpr int64_t kSelectBlock = 32;
inline constexpr int64_t kSelectChunk = 2048;  // columns, a multiple of kSelectBlock

struct ChunkStats {
  float max = 0;
  float sum_exp = 0;  // of exp(logit - max)
};

struct RowOps {
  /// out = x / sqrt(mean(x^2) + eps) * weight; out may be x.
  void (*rms_norm)(const float* x, const float* weight, int64_t count, float eps, float* out);
  void (*add)(float* x, const float* delta, int64_t count);
  void (*scale)(float* x, float factor, int64_t count);
  /// gate = silu(gate) * up.
  void (*silu_gate)(float* gate, const float* up, int64_t count);
  /// gate = gelu_tanh(gate) * up.
  void (*gelu_gate)(float* gate, const float* up, int64_t count);
  /// One head, first rotary_dim dims: x[d] = x[d] * cos[d] + x[partner of d] * sin[d]. Partners: d ^ 1, or half the
  /// range away.
  void (*rotate_pairs)(float* x, const float* cos, const float* sin, int32_t rotary_dim);
  void (*rotate_halves)(float* x, const float* cos, const float* sin, int32_t rotary_dim);
  /// Rotates each run of `dims` values, a power of two, by the Hadamard matrix: an own inverse that keeps lengths.
  void (*rotate_hadamard)(float* x, int32_t count, int32_t dims);
  /// Writes a row; its scale or scales are written where is_quantised(type): NaN where a value that they scale is not finite.
  void (*store_kv)(const float* src, int32_t count, KvType type, void* dst, void* scales);
  /// Reads a row of any type.
  void (*load_kv)(const void* src, const void* scale, int32_t count, KvType type, float* dst);
  /// Of at most kSelectChunk columns; also the maximum of each block of kSelectBlock.
  ChunkStats (*scan_chunk)(const float* logits, int64_t count, float* block_max);
  /// Of a row, from its chunks in order.
  ChunkStats (*join_chunks)(const ChunkStats* chunks, int64_t num_chunks);
};

extern const RowOps kScalarRowOps;
extern const RowOps kAvx2RowOps;

}  // namespace terrace
