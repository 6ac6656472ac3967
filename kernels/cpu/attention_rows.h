// The query rows of one attention tile (attention_kernel.h): their scores, exponentials and outputs, piece by piece.
// K and V come as rows of a page or as floats; where they come from is attention_kernel.h's business.
#pragma once

#include "kernels/cpu/attention_blocks.h"
#include "kernels/cpu/attention_row_keys.h"

namespace terrace {
namespace {

/// Wide: what loops use whose lanes never meet, as wide as the ISA has.
template <class Lanes, class Wide>
class TileRows : protected RowKeys {
 public:
  using LanesType = Lanes;
  using WideType = Wide;

  static int32_t padded(int32_t head_dim) { return (head_dim + kLanes - 1) / kLanes * kLanes; }
  /// Whole cache lines: what lies behind is aligned too.
  static int64_t scratch_floats(int32_t rows, int32_t head_dim) {
    return (static_cast<int64_t>(rows) * (4 * padded(head_dim) + kAttentionSplit + 3) + 15) / 16 * 16;
  }

  /// Rows that there is memory for, of which those beyond the tile's own may hold anything.
  static int32_t room(const AttentionTile& tile) { return tile.num_tokens * tile.num_heads; }

  void begin(const AttentionTile& tile) { begin(tile, room(tile)); }
  void begin(const AttentionTile& tile, int32_t room) {
    t_ = &tile;
    dims_ = padded(tile.head_dim);
    num_rows_ = tile.num_tokens * tile.num_heads;
    q_ = tile.scratch;
    piece_out_ = q_ + room * dims_;
    state_ = piece_out_ + room * dims_;
    scores_ = state_ + room * dims_;
    q_sinks_ = scores_ + room * kAttentionSplit;
    state_lse_ = q_sinks_ + room * dims_;
    piece_lse_ = state_lse_ + room;
    piece_sum_ = piece_lse_ + room;
    load_queries(tile.q, tile.q_stride, q_);
    if (tile.q_sinks != nullptr) load_queries(tile.q_sinks, tile.q_sinks_stride, q_sinks_);
  }

  void begin_piece(int32_t piece, int32_t num_keys) {
    piece_ = piece;
    num_keys_ = num_keys;
    num_sinks_ = t_->window.sinks - piece;
    num_sinks_ = num_sinks_ < 0 ? 0 : num_sinks_ < num_keys ? num_sinks_ : num_keys;
    first_row_ = piece > t_->first_position ? (piece - t_->first_position) * t_->num_heads : 0;
    end_row_ = num_rows_;
    while (end_row_ > first_row_ && num_sinks_ == 0 && first_key(end_row_ - 1) == num_keys_) end_row_ -= t_->num_heads;
    for (int32_t i = first_row_ * dims_; i < end_row_ * dims_; ++i) piece_out_[i] = 0.0f;
  }

  /// Scores of `count` keys from `key` (counted from the piece's begin), which lie as in a page.
  template <class Element>
  void score(const Element* k, const Element* ahead, int32_t key, int32_t count) {
    const int32_t sinks = sinks_apart(key, count);
    if (sinks > 0) score(q_sinks_, k, k, key, sinks);
    if (sinks < count) score(q_, k + sinks * dims_, ahead + sinks * dims_, key + sinks, count - sinks);
  }
  template <class Element>
  void score(const float* q, const Element* k, const Element* ahead, int32_t key, int32_t count) {
    for_each_block<3>([&](int32_t row, auto rows) {
      const int32_t skipped = skipped_keys(row, key);
      const int32_t wanted = wanted_keys(row + rows.value - 1, key, count) - skipped;
      if (wanted <= 0) return;
      const int64_t begin = int64_t{skipped} * dims_;
      score_rows<Lanes, Element, rows.value>(q + row * dims_, k + begin, (row == first_row_ ? ahead : k) + begin, wanted,
                                             dims_, scores_ + row * kAttentionSplit + key + skipped);
    });
  }

  /// The same for keys packed by FloatPacking. `key` is a multiple of kColumns.
  void score_packed(const float* kt, int32_t key, int32_t count) {
    for_each_block<kWideRows>([&](int32_t row, auto rows) {
      const int32_t wanted = wanted_keys(row + rows.value - 1, key, count);
      float* scores = scores_ + row * kAttentionSplit + key;
      int32_t j = skipped_keys(row, key) / kColumns * kColumns;
      for (; j < wanted && sinks_apart(key + j, kColumns) > 0; j += kColumns) {
        float behind[rows.value * kColumns];  // the block's scores with q_, of which those behind the sinks hold
        score_columns<Wide, rows.value>(q_ + row * dims_, kt + j * dims_, dims_, scores + j);
        copy_scores(rows.value, scores + j, kAttentionSplit, 0, behind, kColumns);
        score_columns<Wide, rows.value>(q_sinks_ + row * dims_, kt + j * dims_, dims_, scores + j);
        copy_scores(rows.value, behind, kColumns, sinks_apart(key + j, kColumns), scores + j, kAttentionSplit);
      }
      for (; j < wanted; j += kColumns)
        score_columns<Wide, rows.value>(q_ + row * dims_, kt + j * dims_, dims_, scores + j);
    });
  }

  /// Multiplies the rows' scores (or, after softmax(), weights) of the piece by its keys' scales, [kAttentionSplit].
  void multiply(const float* scales) {
    for (int32_t row = first_row_; row < end_row_; ++row) {
      float* scores = scores_ + row * kAttentionSplit;
      for (int32_t j = 0; j < num_keys_; j += kLanes)
        (Lanes::load(scores + j) * Lanes::load(scales + j)).store(scores + j);
    }
  }

  void softmax() { softmax_by<Lanes, false>(); }

  /// Adds the values of `count` keys from `key`, weighed, which lie as in a page.
  template <class Element>
  void weigh(const Element* v, const Element* ahead, int32_t key, int32_t count) {
    weigh_blocks<Wide, Element, 3>(v, ahead, key, count);
  }

  void weigh(const Unpacked* v, const Unpacked*, int32_t key, int32_t count) { weigh_packed(&v->value, key, count); }

  /// Before weigh_packed().
  void pack_weights() {}

  /// The same for values packed by FloatPacking.
  void weigh_packed(const float* v, int32_t key, int32_t count) {
    weigh_blocks<Wide, float, kWideRows>(v, nullptr, key, count);
  }

  /// Normalises the piece's outputs and merges them into the state.
  void fold() {
    for (int32_t row = first_row_; row < end_row_; row += kLanes) fold_rows(row, end_row_ - row < kLanes ? end_row_ - row : kLanes);
  }

  /// All rows or, of one piece, those with a key in it.
  void write() const {
    const bool folded = t_->kv_end - t_->kv_begin > kAttentionSplit;
    const int32_t end_token = folded ? t_->num_tokens : end_row_ / t_->num_heads;
    for (int32_t token = folded ? 0 : first_row_ / t_->num_heads; token < end_token; ++token) {
      for (int32_t head = 0; head < t_->num_heads; ++head) {
        const int32_t row = token * t_->num_heads + head;
        const float* src = state_ + row * dims_;
        float* dst = t_->out + token * t_->out_stride + head * t_->head_dim;
        for (int32_t d = 0; d < t_->head_dim; ++d) dst[d] = src[d];
        if (t_->lse != nullptr) t_->lse[token * t_->lse_stride + head] = state_lse_[row];
      }
    }
  }

 protected:
  /// In vectors of V, whose order the sums have.
  template <class V, bool kRough>
  void softmax_by() {
    for (int32_t row = first_row_; row < end_row_; ++row) {
      float* scores = scores_ + row * kAttentionSplit;
      const int32_t first = first_key(row), end = end_key(row);
      const int32_t begin = num_sinks_ > 0 ? 0 : first / V::kWidth * V::kWidth;
      if (t_->soft_cap > 0) cap_row<Lanes>(scores + begin, end - begin, t_->soft_cap);
      for (int32_t j = num_sinks_; j < first; ++j) {
        if (j >= begin) scores[j] = -__builtin_inff();
      }
      piece_lse_[row] = softmax_row<V, kRough>(scores + begin, end - begin, piece_sum_[row]);
    }
    for (int32_t row = first_row_; row < end_row_; ++row) piece_lse_[row] += log_one<Lanes>(piece_sum_[row]);
  }

  template <int kRows>
  struct Count {
    static constexpr int value = kRows;
  };

  /// Columns [begin, kColumns) of a block of scores, whose rows lie so far apart.
  static void copy_scores(int32_t rows, const float* from, int32_t from_stride, int32_t begin, float* to, int32_t to_stride) {
    for (int32_t r = 0; r < rows; ++r) {
      for (int32_t j = begin; j < kColumns; ++j) to[r * to_stride + j] = from[r * from_stride + j];
    }
  }

  /// At most kLanes rows.
  void fold_rows(int32_t first, int32_t count) {
    float left[kLanes] = {}, right[kLanes] = {}, largest[kLanes], total[kLanes];
    for (int32_t i = 0; i < count; ++i) {
      left[i] = state_lse_[first + i];
      right[i] = piece_lse_[first + i];
    }
    const Shares<Lanes> shares(Lanes::load(left), Lanes::load(right));
    shares.left.store(left);
    shares.right.store(right);
    shares.largest.store(largest);
    shares.total.store(total);
    for (int32_t i = 0; i < count; ++i) {
      const int32_t row = first + i;
      // The tile's first piece or, without sinks, that in which the row's window begins.
      const bool begins = piece_ == t_->kv_begin || (t_->window.sinks == 0 && gap_end(row) >= piece_);
      float* piece = piece_out_ + row * dims_;
      float* state = state_ + row * dims_;
      float* dst = begins ? state : piece;
      const Lanes share = Lanes::broadcast(1.0f / piece_sum_[row]);
      for (int32_t d = 0; d < dims_; d += kLanes) (Lanes::load(piece + d) * share).store(dst + d);
      if (!begins) merge_outputs<Lanes>(state, left[i], piece, right[i], t_->head_dim);
      state_lse_[row] = begins ? piece_lse_[row] : largest[i] + log_one<Lanes>(total[i]);
    }
  }

  struct KeyRange {
    int32_t begin, end;
  };

  template <class Vector, class Source, int kMostRows>
  void weigh_blocks(const Source* v, const Source* ahead, int32_t key, int32_t count) {
    for_each_block<kMostRows>([&](int32_t row, auto rows) {
      KeyRange ranges[rows.value];  // neither end falls from one row to the next
      if (key < num_sinks_) {
        const int32_t sinks = num_sinks_ - key < count ? num_sinks_ - key : count;
        for (int32_t r = 0; r < rows.value; ++r) ranges[r] = {0, wanted_keys(row + r, key, sinks)};
        weigh_block<Vector>(row, v, static_cast<const Source*>(nullptr), key, ranges);
      }
      for (int32_t r = 0; r < rows.value; ++r) {
        const int32_t first = first_key(row + r) - key;
        ranges[r] = {first > 0 ? first : 0, wanted_keys(row + r, key, count)};
      }
      weigh_block<Vector>(row, v, row == first_row_ ? ahead : nullptr, key, ranges);
    });
  }

  /// Each row's keys in their order; those that all rows of the block attend, together.
  template <class Vector, class Source, int kRows>
  void weigh_block(int32_t row, const Source* v, const Source* ahead, int32_t key, const KeyRange (&ranges)[kRows]) {
    const float* p = scores_ + row * kAttentionSplit + key;
    float* out = piece_out_ + row * dims_;
    const auto add_alone = [&](int32_t r, int32_t begin, int32_t end) {
      if (begin >= end) return;
      add_value_rows<Lanes, Vector, Source, 1>(p + r * kAttentionSplit + begin, v + begin * dims_, nullptr, end - begin,
                                               dims_, out + r * dims_);
    };
    const int32_t begin = ranges[kRows - 1].begin, end = ranges[0].end;
    if (begin >= end) {
      for (int32_t r = 0; r < kRows; ++r) add_alone(r, ranges[r].begin, ranges[r].end);
      return;
    }
    for (int32_t r = 0; r < kRows - 1; ++r) add_alone(r, ranges[r].begin, begin);
    add_value_rows<Lanes, Vector, Source, kRows>(p + begin, v + begin * dims_,
                                                 ahead == nullptr ? nullptr : ahead + begin * dims_, end - begin, dims_, out);
    for (int32_t r = 1; r < kRows; ++r) add_alone(r, end, ranges[r].end);
  }

  void load_queries(const float* from, int64_t stride, float* to) const {
    for (int32_t token = 0; token < t_->num_tokens; ++token) {
      for (int32_t head = 0; head < t_->num_heads; ++head) {
        const float* src = from + token * stride + head * t_->head_dim;
        float* dst = to + (token * t_->num_heads + head) * dims_;
        for (int32_t d = 0; d < t_->head_dim; ++d) dst[d] = src[d] * t_->scale;
        for (int32_t d = t_->head_dim; d < dims_; ++d) dst[d] = 0.0f;
      }
    }
  }

  /// Calls use(row, Count<number of rows>) for blocks of at most kMostRows (3 or 6) that cover [first_row_, end_row_).
  template <int kMostRows, class Function>
  void for_each_block(Function use) const {
    int32_t row = first_row_;
    for (; kMostRows == 6 && end_row_ - row >= 6; row += 6) use(row, Count<kMostRows>{});
    while (row < end_row_) {
      const int32_t left = end_row_ - row;
      if (left == 1) {
        use(row, Count<1>{});
        row += 1;
      } else if (left == 2 || left == 4) {
        use(row, Count<2>{});
        row += 2;
      } else {
        use(row, Count<3>{});
        row += 3;
      }
    }
  }

  static constexpr int kWideRows = Wide::kWidth == kLanes ? 3 : 6;  // 12 sums at work, for 2 units of latency 4

  int32_t dims_ = 0;  // head_dim, rounded up to whole lanes
  int32_t num_rows_ = 0;
  float* q_ = nullptr;          // [rows, dims_], scaled
  float* piece_out_ = nullptr;  // [rows, dims_]
  float* state_ = nullptr;      // [rows, dims_]
  float* scores_ = nullptr;     // [rows, kAttentionSplit]
  float* q_sinks_ = nullptr;    // [rows, dims_], scaled, where the tile has them
  float* state_lse_ = nullptr;  // [rows], as the next two
  float* piece_lse_ = nullptr;
  float* piece_sum_ = nullptr;
  int32_t first_row_ = 0;  // rows [first_row_, end_row_) have a key in the piece
  int32_t end_row_ = 0;
};

}  // namespace
}  // namespace terrace
