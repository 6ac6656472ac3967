// What a tile keeps in its scratch, and the codes of its queries (attention_kernel.h).
#pragma once

#include "kernels/attention_split.h"
#include "kernels/cpu/attention_codes.h"
#include "kernels/cpu/attention_softmax.h"
#include "kernels/cpu/attention_tile.h"

namespace terrace {
namespace {

constexpr int32_t kMostRows = 6;  // at work together
constexpr float kLargestQuery = 32767.0f;
constexpr float kLargestQuerySum = 262144 - 1024;  // of sizes, so that times kMostCode scores stay below 2^31, each rounded up
constexpr float kLeastQuery = 0x1p-100f;

/// Where a tile's rows lie in its scratch.
struct TileMemory {
  TileMemory() = default;
  /// `blocks` of kMostRows rows are at work at the same time.
  TileMemory(float* scratch, int32_t rows, int32_t head_dim, int32_t blocks) : next_(scratch) {
    const int32_t dims = padded_dims(head_dim);
    const int64_t work_rows = int64_t{blocks} * kMostRows;
    take(q, int64_t{rows} * dims / 2);
    take(q_sinks, int64_t{rows} * dims / 2);
    take(q_scale, rows);
    take(q_sinks_scale, rows);
    take(state, int64_t{rows} * dims);
    take(state_lse, rows);
    take(scores, work_rows * kAttentionSplit);
    take(weights, work_rows * kAttentionSplit / 2);
    take(sums, work_rows * dims);
    take(out, work_rows * dims);
    take(keys, int64_t{kAttentionSplit} * dims / 2);
    take(values, int64_t{kAttentionSplit} * dims / 2);
    take(key_scale, kAttentionSplit);
    take(value_scale, kAttentionSplit);
    take(inverse, kAttentionSplit);
  }

  int32_t* q = nullptr;  // [rows, dims / 2] pairs, as the next
  int32_t* q_sinks = nullptr;
  float* q_scale = nullptr;  // [rows], as the next
  float* q_sinks_scale = nullptr;
  float* state = nullptr;      // [rows, dims]
  float* state_lse = nullptr;  // [rows]
  float* scores = nullptr;     // [rows at work, kAttentionSplit]
  int32_t* weights = nullptr;  // [rows at work, kAttentionSplit / 2] pairs
  int32_t* sums = nullptr;     // [rows at work, dims], as the next
  float* out = nullptr;
  int32_t* keys = nullptr;    // packed keys of a piece, as the next
  int32_t* values = nullptr;
  float* key_scale = nullptr;  // [kAttentionSplit], as the next
  float* value_scale = nullptr;
  float* inverse = nullptr;
  int64_t floats = 0;  // all of it

 private:
  template <class Number>
  void take(Number*& field, int64_t count) {
    count = (count + 15) / 16 * 16;  // whole cache lines
    floats += count;
    if (next_ == nullptr) return;
    field = reinterpret_cast<Number*>(next_);
    next_ += count;
  }
  float* next_ = nullptr;
};

/// Codes of the tile's queries, times the tile's scale, for exponentials to base 2.
template <class Lanes, class Pairs>
void load_queries(const AttentionTile& t, const float* from, int64_t stride, int32_t* q, float* q_scale) {
  const int32_t dims = padded_dims(t.head_dim);
  for (int32_t row = 0; row < t.num_tokens * t.num_heads; ++row, q += dims / 2) {
    const float* src = from + row / t.num_heads * stride + row % t.num_heads * t.head_dim;
    float padded[kGroupDims];
    const auto group = [&](int32_t d) {
      for (int32_t i = 0; i < kGroupDims; ++i) padded[i] = d + i < t.head_dim ? src[d + i] * t.scale : 0.0f;
    };
    Lanes sum = Lanes::zero(), most = Lanes::broadcast(kLeastQuery);
    for (int32_t d = 0; d < dims; d += kGroupDims) {
      group(d);
      for (int32_t i = 0; i < kGroupDims; i += kLanes) {
        const Lanes x = Lanes::load(padded + i), size = Lanes::max(x, Lanes::zero() - x);
        sum = sum + size;
        most = Lanes::max(most, size);
      }
    }
    const float by_size = kLargestQuery / Lanes::largest(most), by_sum = kLargestQuerySum / (Lanes::sum(sum) + kLeastQuery);
    const float inverse = by_size < by_sum ? by_size : by_sum;  // of a sum that is NaN, NaN
    q_scale[row] = (t.soft_cap > 0 ? 1.0f : kLog2E) / inverse;
    const Lanes factor = Lanes::broadcast(inverse), shift = Lanes::broadcast(kIntegerShift);
    for (int32_t d = 0; d < dims; d += kGroupDims) {
      group(d);
      for (int32_t i = 0; i < kPairGroup; i += kLanes) {
        Pairs::join(Lanes::fma(Lanes::load(padded + i), factor, shift), Lanes::fma(Lanes::load(padded + kPairGroup + i), factor, shift))
            .store(q + d / 2 + i);
      }
    }
  }
}

template <class V>
void load_queries(const AttentionTile& t, const TileMemory& m) {
  load_queries<typename V::Lanes, typename V::LanePairs>(t, t.q, t.q_stride, m.q, m.q_scale);
  if (t.q_sinks != nullptr) load_queries<typename V::Lanes, typename V::LanePairs>(t, t.q_sinks, t.q_sinks_stride, m.q_sinks, m.q_sinks_scale);
}

}  // namespace
}  // namespace terrace
