// Stored rows of K and V as integers: a row is its codes times one float scale. Whatever the page's format (the only place that knows it),
// codes have 14 bits, in an order that the products want (attention_products.h). Quantised rows keep their own codes and scales.
#pragma once

#include <cstddef>

#include "kernels/cpu/pairs.h"
#include "kernels/kv_format.h"

namespace terrace {
namespace {

static_assert(kBlockKeys == kPairGroup);
constexpr float kMostCode = kLargestCode;  // of K and V; queries and weights have as many bits as 32-bit sums leave
constexpr float kLeastRow = 0x1p-60f;    // rows below this in all elements may lose bits: reciprocals stay finite

/// The stored rows of a block's keys. Those that no query sees may hold anything.
template <class Element>
struct BlockRows {
  const Element* row[kBlockKeys];
  float scale[kBlockKeys];  // of quantised rows
};

/// Asks for `bytes` of memory, which will be read soon: into L2, which has room for more requests under way than L1.
[[gnu::always_inline]] inline void fetch(const void* memory, size_t bytes) {
  for (size_t i = 0; i < bytes; i += 64) __builtin_prefetch(static_cast<const char*>(memory) + i, 0, 2);
}

/// The largest of them in size; NaN where one is NaN or infinite.
template <class Lanes>
float largest_size(const float* row, int32_t n) {
  Lanes most = Lanes::zero(), spoilt = Lanes::zero();
  int32_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const Lanes x = Lanes::load(row + i);
    most = Lanes::max(most, Lanes::max(x, Lanes::zero() - x));
    spoilt = Lanes::fma(x, Lanes::zero(), spoilt);
  }
  float largest = Lanes::largest(most) + Lanes::sum(spoilt);
  for (; i < n; ++i) {
    const float size = row[i] < 0 ? -row[i] : row[i];
    largest = (largest < size ? size : largest) + row[i] * 0.0f;
  }
  return largest;
}

/// codes = round(row * inverse), row = codes * scale.
template <class V, class Element>
void find_scales(const BlockRows<Element>& rows, int32_t head_dim, float* scale, float* inverse) {
  using Lanes = typename V::Lanes;
  if constexpr (kHasScale<Element>) {
    for (int32_t i = 0; i < kBlockKeys; ++i) {
      scale[i] = rows.scale[i];
      inverse[i] = 1.0f;
    }
  } else {
    Lanes largest[2];
    if constexpr (sizeof(Element) == sizeof(float)) {
      for (int32_t i = 0; i < kBlockKeys; ++i) scale[i] = largest_size<Lanes>(rows.row[i], head_dim);
      largest[0] = Lanes::load(scale);
      largest[1] = Lanes::load(scale + kLanes);
    } else {
      V::Pairs::largest_halves(rows.row, head_dim, largest);
    }
    for (int i = 0; i < 2; ++i) {
      const Lanes size = Lanes::max(Lanes::broadcast(kLeastRow), largest[i]);
      (size * Lanes::broadcast(1.0f / kMostCode)).store(scale + i * kLanes);
      (Lanes::broadcast(kMostCode) / size).store(inverse + i * kLanes);
    }
  }
}

/// The codes of Wide::kWidth elements from d, zeros beyond head_dim, with kIntegerShift added.
template <class Wide, bool kWhole, class Element>
[[gnu::always_inline]] inline Wide codes(const Element* row, int32_t d, int32_t head_dim, const float& inverse) {
  const Wide factor = Wide::broadcast(inverse), shift = Wide::broadcast(kIntegerShift);
  if (kWhole || d + Wide::kWidth <= head_dim) return Wide::fma(Wide::load(row + d), factor, shift);
  Element tail[Wide::kWidth] = {};
  for (int32_t i = d; i < head_dim; ++i) tail[i - d] = row[i];
  return Wide::fma(Wide::load(tail), factor, shift);
}

/// Keys as lanes: out[dims / 2][kBlockKeys]. Dim i of each 32 is paired with i + 16. kWhole: head_dim is a multiple of 32.
template <class V, bool kWhole, class Element>
[[gnu::noinline]] void pack_keys(const BlockRows<Element>& rows, const float* inverse, int32_t head_dim, int32_t* out) {
  using Wide = typename V::Wide;
  using Pairs = typename V::Pairs;
  constexpr int kWidth = Pairs::kWidth;
  for (int32_t d = 0; d < head_dim; d += kGroupDims, out += kPairGroup * kBlockKeys) {
    for (int part = 0; part < kPairGroup; part += kWidth) {
      for (int half = 0; half < kBlockKeys; half += kWidth) {
        Pairs square[kWidth];
#pragma GCC unroll 16
        for (int i = 0; i < kWidth; ++i) {
          const Element* row = rows.row[half + i];
          square[i] = Pairs::join(codes<Wide, kWhole>(row, d + part, head_dim, inverse[half + i]),
                                  codes<Wide, kWhole>(row, d + part + kPairGroup, head_dim, inverse[half + i]));
        }
        Pairs::transpose(square);
#pragma GCC unroll 16
        for (int i = 0; i < kWidth; ++i) square[i].store(out + (part + i) * kBlockKeys + half);
      }
    }
  }
}

/// Dims as lanes: out[kBlockKeys / 2][dims]. Key i of the block is paired with i + 8.
template <class V, bool kWhole, class Element>
[[gnu::noinline]] void pack_values(const BlockRows<Element>& rows, const float* inverse, int32_t head_dim, int32_t* out) {
  using Wide = typename V::Wide;
  using Pairs = typename V::Pairs;
  const int32_t dims = kWhole ? head_dim : padded_dims(head_dim);
#pragma GCC unroll 4
  for (int32_t i = 0; i < kBlockKeys / 2; ++i, out += dims) {
    for (int32_t d = 0; d < dims; d += Pairs::kWidth) {
      Pairs::join(codes<Wide, kWhole>(rows.row[i], d, head_dim, inverse[i]),
                  codes<Wide, kWhole>(rows.row[i + kBlockKeys / 2], d, head_dim, inverse[i + kBlockKeys / 2]))
          .store(out + d);
    }
  }
}

template <class V, class Element>
void pack_keys(const BlockRows<Element>& rows, const float* inverse, int32_t head_dim, int32_t* out) {
  head_dim % kGroupDims == 0 ? pack_keys<V, true>(rows, inverse, head_dim, out) : pack_keys<V, false>(rows, inverse, head_dim, out);
}
template <class V, class Element>
void pack_values(const BlockRows<Element>& rows, const float* inverse, int32_t head_dim, int32_t* out) {
  head_dim % kGroupDims == 0 ? pack_values<V, true>(rows, inverse, head_dim, out) : pack_values<V, false>(rows, inverse, head_dim, out);
}

}  // namespace
}  // namespace terrace
