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
template <class Lanes, class Pairs, class Products>
struct PairPacking {
  using Wide = typename Pairs::Wide;
  static constexpr int32_t kValuesTogether = 2;
  static constexpr int32_t kValuesMultiple = 2 * Products::kStep;
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

/// Products by an ISA's vectors. c[r][v] = (kAdd: +=) the sum of a[r][i] b[i][v] over `steps` pairs i, a multiple of kStep; vector v of b[i] lies at
/// b + i * b_step + v * b_vector.
template <class Pairs>
struct VectorProducts {
  static constexpr int32_t kStep = 1;
  static constexpr int32_t kRowStep = 1;  // memory has rows in multiples of this
  static constexpr int32_t kMostRows = 6;

  static void begin() {}
  static void end() {}

  template <bool kAdd, class Rows>
  static void multiply(Rows, const float* a, int32_t a_stride, const float* b, int32_t b_step, int32_t b_vector, int32_t vectors, int32_t steps, float* c,
                       int32_t c_stride) {
    int32_t v = 0;
    for (; v + 4 <= vectors; v += 4) run<Rows::value, 4, kAdd>(a, a_stride, b + v * b_vector, b_step, b_vector, steps, c + v * Pairs::kWidth, c_stride);
    for (; v < vectors; ++v) run<Rows::value, 1, kAdd>(a, a_stride, b + v * b_vector, b_step, b_vector, steps, c + v * Pairs::kWidth, c_stride);
  }

 private:
  template <int kRows, int kVectors, bool kAdd>
  [[gnu::noinline]] static void run(const float* a, int32_t a_stride, const float* b, int32_t b_step, int32_t b_vector, int32_t steps, float* c,
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
};

/// Rows of a tile whose queries and weights are pairs: they take the first half of the floats that they were. head_dim is a multiple of 32.
template <class Lanes, class Pairs, class Products>
class PairRows : public TileRows<Lanes, typename Pairs::Wide> {
  using Wide = typename Pairs::Wide;
  using Base = TileRows<Lanes, Wide>;
  using Base::q_, Base::q_sinks_, Base::scores_, Base::piece_out_, Base::dims_, Base::first_row_, Base::end_row_;

 public:
  static int32_t room(const AttentionTile& tile) { return (Base::room(tile) + Products::kRowStep - 1) / Products::kRowStep * Products::kRowStep; }

  void begin(const AttentionTile& tile) {
    Base::begin(tile, room(tile));
    narrow_rows(q_);
    if (tile.q_sinks != nullptr) narrow_rows(q_sinks_);
    Products::begin();
  }

  void score_packed(const float* keys, int32_t key, int32_t count) {
    for_each_rows([&](int32_t row, int32_t last_row, auto rows) {
      const int32_t wanted = this->wanted_keys(last_row, key, count);
      float* scores = scores_ + row * kAttentionSplit + key;
      int32_t j = this->skipped_keys(row, key) / kColumns * kColumns;
      for (; j < wanted && this->sinks_apart(key + j, kColumns) > 0; j += kColumns) score_sinks(rows, row, keys, key, j);
      if (j < wanted) score_blocks(rows, q_ + row * dims_, keys + j * dims_ / 2, (wanted - j + kColumns - 1) / kColumns, scores + j, kAttentionSplit);
    });
  }

  void softmax() { this->template softmax_by<Wide, true>(); }

  /// Keys that a row does not attend get zeros, up to where whole steps may end.
  void pack_weights() {
    constexpr int32_t kTogether = 2 * kColumns;
    const int32_t end = (this->num_keys_ + kTogether - 1) / kTogether * kTogether;
    for (int32_t row = first_row_; row < end_row_; ++row) {
      float* weights = scores_ + row * kAttentionSplit;
      for (int32_t j = this->num_sinks_; j < this->first_key(row); ++j) weights[j] = 0.0f;
      for (int32_t j = this->end_key(row); j < end; ++j) weights[j] = 0.0f;
      narrow(weights, end);
      for (int32_t j = 0; j < Products::kStep; ++j) weights[end / 2 + j] = 0.0f;
    }
  }

  void weigh_packed(const float* values, int32_t key, int32_t count) {
    for_each_rows([&](int32_t row, int32_t last_row, auto rows) {
      const int32_t begin = this->skipped_keys(row, key) / 2 / Products::kStep * Products::kStep;
      const int32_t steps = ((this->wanted_keys(last_row, key, count) + 1) / 2 - begin + Products::kStep - 1) / Products::kStep * Products::kStep;
      if (steps <= 0) return;
      Products::template multiply<true>(rows, scores_ + row * kAttentionSplit + key / 2 + begin, kAttentionSplit, values + begin * dims_, dims_, kColumns,
                                        dims_ / kColumns, steps, piece_out_ + row * dims_, dims_);
    });
  }

  void write() const {
    Base::write();
    Products::end();
  }

 private:
  struct RowCount {
    int32_t value;
  };

  /// Calls use(first row, last row with keys, number of rows) for blocks that cover the piece's rows; with a kRowStep they may hold others, too.
  template <class Use>
  void for_each_rows(Use use) const {
    if constexpr (Products::kRowStep == 1) {
      this->template for_each_block<Products::kMostRows>([&](int32_t row, auto rows) { use(row, row + rows.value - 1, rows); });
    } else {
      for (int32_t row = first_row_ / Products::kRowStep * Products::kRowStep; row < end_row_; row += Products::kMostRows) {
        const int32_t rows = end_row_ - row < Products::kMostRows ? end_row_ - row : Products::kMostRows;
        use(row, row + rows - 1, RowCount{rows});
      }
    }
  }

  void narrow_rows(float* rows) const {
    for (int32_t row = 0; row < this->num_rows_; ++row) narrow(rows + row * dims_, dims_);
  }
  /// `count` floats, a multiple of 32, to half as many pairs.
  static void narrow(float* floats, int32_t count) {
    for (int32_t i = 0; i < count; i += 2 * kColumns) Pairs::narrow(Wide::load(floats + i), Wide::load(floats + i + kColumns)).store(floats + i / 2);
  }

  template <class Rows>
  void score_blocks(Rows rows, const float* q, const float* keys, int32_t blocks, float* scores, int32_t stride) const {
    Products::template multiply<false>(rows, q, dims_, keys, kColumns, kColumns * dims_ / 2, blocks, dims_ / 2, scores, stride);
  }

  /// A block whose first keys are sinks, which meet queries of their own.
  template <class Rows>
  void score_sinks(Rows rows, int32_t row, const float* keys, int32_t key, int32_t j) const {
    float behind[Products::kMostRows * kColumns];
    float* scores = scores_ + row * kAttentionSplit + key + j;
    score_blocks(rows, q_ + row * dims_, keys + j * dims_ / 2, 1, behind, kColumns);
    score_blocks(rows, q_sinks_ + row * dims_, keys + j * dims_ / 2, 1, scores, kAttentionSplit);
    Base::copy_scores(rows.value, behind, kColumns, this->sinks_apart(key + j, kColumns), scores, kAttentionSplit);
  }
};

/// As FloatTiles, but tiles of many rows multiply pairs where head_dim has whole vectors of them.
template <class LanesOf, class Pairs, class Products>
struct PairTiles : FloatTiles<LanesOf, typename Pairs::Wide> {
  template <class Key, class Value>
  static void run_many(const AttentionTile& tile) {
    if (tile.head_dim % (2 * kColumns) != 0) return FloatTiles<LanesOf, typename Pairs::Wide>::template run_many<Key, Value>(tile);
    PackedTile<PairRows<LanesOf, Pairs, Products>, PairPacking<LanesOf, Pairs, Products>, Key, Value>(tile).run();
  }
};

}  // namespace
}  // namespace terrace
