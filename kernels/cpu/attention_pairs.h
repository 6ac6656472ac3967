// Attention's tiles of many rows by products of bfloat16 pairs (Numerics::kFast): K, V, queries and weights are rounded to bfloat16, and both
// products are rows of pairs times pairs of rows, summed in float in the order of the instruction. The rest is attention_rows.h's. A key that a row
// does not attend has a weight of zero, so a value that is not finite reaches the other rows of its tile.
//
// Pairs, the vector of an ISA: as many floats as its Wide, or as many pairs in 32 bits each, the lower half first; they lie in float arrays.
// narrow() makes pairs of neighbours, zip() pairs of a float of each.
#pragma once

#include "kernels/cpu/attention_kernel.h"

namespace terrace {
namespace {

/// K: blocks of kColumns keys, each [dims / 2, kColumns] pairs of dims. V: [keys / 2, dims] pairs of keys.
template <class Lanes, class Pairs>
struct PairPacking {
  using Wide = typename Pairs::Wide;
  static constexpr int32_t kValuesTogether = 2;
  static_assert(Pairs::kWidth == kColumns && kColumns == 2 * kLanes);

  static int32_t chunk_keys(int32_t dims) {
    const int32_t keys = 2 * FloatPacking<Lanes>::chunk_keys(dims);
    return keys < kAttentionSplit ? keys : kAttentionSplit;
  }
  static int32_t block_floats(int32_t dims) { return kColumns * dims / 2; }

  template <class Key>
  static void pack_keys(const Key* const (&rows)[kColumns], int32_t, int32_t dims, float* block) {
    for (int32_t d = 0; d < dims; d += 2 * kColumns) {
      float pairs[kColumns][kColumns];
#pragma GCC unroll 4
      for (int32_t i = 0; i < kColumns; ++i) Pairs::narrow(Wide::load(rows[i] + d), Wide::load(rows[i] + d + kColumns)).store(pairs[i]);
      for (int32_t half = 0; half < kColumns; half += kLanes) {
        for (int32_t from = 0; from < kColumns; from += kLanes) {
          Lanes square[kLanes];
#pragma GCC unroll 8
          for (int i = 0; i < kLanes; ++i) square[i] = Lanes::load(pairs[half + i] + from);
          Lanes::transpose(square);
#pragma GCC unroll 8
          for (int i = 0; i < kLanes; ++i) square[i].store(block + (d / 2 + from + i) * kColumns + half);
        }
      }
    }
  }

  template <class Value>
  static void pack_values(const Value* const (&rows)[2], int32_t, int32_t dims, float* to) {
    for (int32_t d = 0; d < dims; d += kColumns) {
      const Wide first = rows[0] == nullptr ? Wide::zero() : Wide::load(rows[0] + d);
      const Wide second = rows[1] == nullptr ? Wide::zero() : Wide::load(rows[1] + d);
      Pairs::zip(first, second).store(to + d);
    }
  }
};

/// c[r][v] = (kAdd: +=) the sum of a[r][i] b[i][v] over pairs i < steps; vector v of b[i] lies at b + i * b_step + v * b_vector.
template <class Pairs, int kRows, int kVectors, bool kAdd>
[[gnu::noinline]] void multiply_pairs(const float* a, int32_t a_stride, const float* b, int32_t b_step, int32_t b_vector, int32_t steps, float* c,
                                      int32_t c_stride) {
  Pairs sum[kRows][kVectors];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) sum[r][v] = kAdd ? Pairs::load(c + r * c_stride + v * Pairs::kWidth) : Pairs::zero();
  }
  for (int32_t i = 0; i < steps; ++i, b += b_step) {
    Pairs right[kVectors];
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) right[v] = Pairs::load(b + v * b_vector);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const Pairs left = Pairs::broadcast(a[r * a_stride + i]);
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) sum[r][v] = Pairs::add_products(sum[r][v], left, right[v]);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) sum[r][v].store(c + r * c_stride + v * Pairs::kWidth);
  }
}

/// Rows of a tile whose queries and weights are pairs: they take the first half of the floats that they were. head_dim is a multiple of 32.
template <class Lanes, class Pairs>
class PairRows : public TileRows<Lanes, typename Pairs::Wide> {
  using Wide = typename Pairs::Wide;
  using Base = TileRows<Lanes, Wide>;
  using Base::q_, Base::q_sinks_, Base::scores_, Base::piece_out_, Base::dims_, Base::t_;

 public:
  void begin(const AttentionTile& tile) {
    Base::begin(tile);
    narrow_rows(q_);
    if (tile.q_sinks != nullptr) narrow_rows(q_sinks_);
  }

  void score_packed(const float* keys, int32_t key, int32_t count) {
    this->template for_each_block<6>([&](int32_t row, auto rows) {
      const int32_t wanted = this->wanted_keys(row + rows.value - 1, key, count);
      float* scores = scores_ + row * kAttentionSplit + key;
      int32_t j = this->skipped_keys(row, key) / kColumns * kColumns;
      for (; j < wanted && this->sinks_apart(key + j, kColumns) > 0; j += kColumns) score_sinks<rows.value>(row, keys, key, j);
      for (; j + 3 * kColumns < wanted; j += 4 * kColumns) score_blocks<rows.value, 4>(q_, row, keys + j * dims_ / 2, scores + j);
      for (; j < wanted; j += kColumns) score_blocks<rows.value, 1>(q_, row, keys + j * dims_ / 2, scores + j);
    });
  }

  void softmax() { this->template softmax_by<Wide>(); }

  void pack_weights() {
    constexpr int32_t kTogether = 2 * kColumns;
    const int32_t end = (this->num_keys_ + kTogether - 1) / kTogether * kTogether;
    for (int32_t row = this->first_row_; row < this->end_row_; ++row) {
      float* weights = scores_ + row * kAttentionSplit;
      for (int32_t j = this->num_sinks_; j < this->first_key(row); ++j) weights[j] = 0.0f;
      for (int32_t j = this->end_key(row); j < end; ++j) weights[j] = 0.0f;
      narrow(weights, end);
    }
  }

  void weigh_packed(const float* values, int32_t key, int32_t count) {
    this->template for_each_block<6>([&](int32_t row, auto rows) {
      const int32_t begin = this->skipped_keys(row, key) / 2;
      const int32_t end = (this->wanted_keys(row + rows.value - 1, key, count) + 1) / 2;
      if (begin >= end) return;
      const float* weights = scores_ + row * kAttentionSplit + key / 2 + begin;
      float* out = piece_out_ + row * dims_;
      const float* from = values + begin * dims_;
      int32_t d = 0;
      for (; d + 64 <= dims_; d += 64) multiply_pairs<Pairs, rows.value, 4, true>(weights, kAttentionSplit, from + d, dims_, kColumns, end - begin, out + d, dims_);
      if (d < dims_) multiply_pairs<Pairs, rows.value, 2, true>(weights, kAttentionSplit, from + d, dims_, kColumns, end - begin, out + d, dims_);
    });
  }

 private:
  void narrow_rows(float* rows) const {
    for (int32_t row = 0; row < this->num_rows_; ++row) narrow(rows + row * dims_, dims_);
  }
  /// `count` floats, a multiple of 32, to half as many pairs.
  static void narrow(float* floats, int32_t count) {
    for (int32_t i = 0; i < count; i += 2 * kColumns) Pairs::narrow(Wide::load(floats + i), Wide::load(floats + i + kColumns)).store(floats + i / 2);
  }

  template <int kRows, int kBlocks>
  void score_blocks(const float* q, int32_t row, const float* keys, float* scores, int32_t stride = kAttentionSplit) const {
    multiply_pairs<Pairs, kRows, kBlocks, false>(q + row * dims_, dims_, keys, kColumns, kColumns * dims_ / 2, dims_ / 2, scores, stride);
  }

  /// A block whose first keys are sinks, which meet queries of their own.
  template <int kRows>
  void score_sinks(int32_t row, const float* keys, int32_t key, int32_t j) const {
    float behind[kRows * kColumns];
    float* scores = scores_ + row * kAttentionSplit + key + j;
    score_blocks<kRows, 1>(q_, row, keys + j * dims_ / 2, behind, kColumns);
    score_blocks<kRows, 1>(q_sinks_, row, keys + j * dims_ / 2, scores);
    Base::template copy_scores<kRows>(behind, kColumns, this->sinks_apart(key + j, kColumns), scores, kAttentionSplit);
  }
};

/// As FloatTiles, but tiles of many rows multiply pairs where head_dim has whole vectors of them.
template <class LanesOf, class Pairs>
struct PairTiles : FloatTiles<LanesOf, typename Pairs::Wide> {
  template <class Key, class Value>
  static void run_many(const AttentionTile& tile) {
    if (tile.head_dim % (2 * kColumns) != 0) return FloatTiles<LanesOf, typename Pairs::Wide>::template run_many<Key, Value>(tile);
    PackedTile<PairRows<LanesOf, Pairs>, PairPacking<LanesOf, Pairs>, Key, Value>(tile).run();
  }
};

}  // namespace
}  // namespace terrace
