// How attention's tiles of many rows (attention_kernel.h) lay out K and V before they multiply: as floats, keys transposed.
#pragma once

#include "kernels/cpu/attention_blocks.h"
#include "kernels/cpu/lanes.h"

namespace terrace {
namespace {

/// Eight elements from dim d on; zeros beyond head_dim.
template <class Lanes, class Element>
Lanes load_dims(const Element* row, int32_t d, int32_t head_dim) {
  if (d + kLanes <= head_dim) return Lanes::load(row + d);
  Element tail[kLanes] = {};
  for (int32_t i = d; i < head_dim; ++i) tail[i - d] = row[i];
  return Lanes::load(tail);
}

/// K: blocks of kColumns keys, each [dims, kColumns]. V: [keys, dims].
template <class Lanes>
struct FloatPacking {
  static constexpr int32_t kValuesTogether = 1;
  static constexpr int32_t kValuesMultiple = 1;  // of keys that are packed, the last of them perhaps none

  /// Keys that are packed at a time: 16 KiB stay in L1.
  static int32_t chunk_keys(int32_t dims) {
    const int32_t keys = 4096 / dims / kColumns * kColumns;
    return keys < kColumns ? kColumns : keys < kAttentionSplit ? keys : kAttentionSplit;
  }
  static int32_t block_floats(int32_t dims) { return kColumns * dims; }

  template <class Key>
  static void pack_keys(const Key* const (&rows)[kColumns], int32_t head_dim, int32_t dims, float* block) {
    for (int32_t d = 0; d < dims; d += kLanes) {
      for (int32_t half = 0; half < kColumns; half += kLanes) {
        Lanes square[kLanes];
#pragma GCC unroll 8
        for (int i = 0; i < kLanes; ++i) square[i] = load_dims<Lanes>(rows[half + i], d, head_dim);
        Lanes::transpose(square);
#pragma GCC unroll 8
        for (int i = 0; i < kLanes; ++i) square[i].store(block + (d + i) * kColumns + half);
      }
    }
  }

  template <class Value>
  static void pack_values(const Value* const (&rows)[1], int32_t head_dim, int32_t dims, float* to) {
    if (rows[0] == nullptr) return;
    for (int32_t d = 0; d < dims; d += kLanes) load_dims<Lanes>(rows[0], d, head_dim).store(to + d);
  }
};

}  // namespace
}  // namespace terrace
