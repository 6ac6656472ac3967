// The query rows of one attention tile (attention_kernel.h): their scores, exponentials and outputs, piece by piece.
// K and V come as rows of a page or as floats; where they come from is attention_kernel.h's business.
#pragma once

#include "kernels/cpu/attention_blocks.h"
#include "kernels/cpu/attention_tile.h"

namespace terrace {
namespace {

/// Rows are ordered by token, then head, so that the number of keys a row attends never falls from one row to the next.
/// Wide: what loops use whose lanes never meet, as wide as the ISA has.
template <class Lanes, class Wide>
class TileRows {
 public:
  static int32_t padded(int32_t head_dim) { return (head_dim + kLanes - 1) / kLanes * kLanes; }
  static int64_t scratch_floats(int32_t rows, int32_t head_dim) {
    return static_cast<int64_t>(rows) * (3 * padded(head_dim) + kAttentionSplit + 3);
  }

  void begin(const AttentionTile& tile) {
    t_ = &tile;
    dims_ = padded(tile.head_dim);
    num_rows_ = tile.num_tokens * tile.num_heads;
    q_ = tile.scratch;
    piece_out_ = q_ + num_rows_ * dims_;
    state_ = piece_out_ + num_rows_ * dims_;
    scores_ = state_ + num_rows_ * dims_;
    state_lse_ = scores_ + num_rows_ * kAttentionSplit;
    piece_lse_ = state_lse_ + num_rows_;
    piece_sum_ = piece_lse_ + num_rows_;
    load_queries();
  }

  void begin_piece(int32_t piece, int32_t num_keys) {
    piece_ = piece;
    num_keys_ = num_keys;
    const int32_t first_token = piece > t_->first_position ? piece - t_->first_position : 0;
    first_row_ = first_token * t_->num_heads;
    for (int32_t i = first_row_ * dims_; i < num_rows_ * dims_; ++i) piece_out_[i] = 0.0f;
  }

  /// Scores of `count` keys from `key` (counted from the piece's begin), which lie as in a page.
  template <class Element>
  void score(const Element* k, const Element* ahead, int32_t key, int32_t count) {
    for_each_block<3>([&](int32_t row, auto rows) {
      const int32_t wanted = wanted_keys(row + rows.value - 1, key, count);  // of the block's last row: it attends most
      if (wanted <= 0) return;
      score_rows<Lanes, Element, rows.value>(q_ + row * dims_, k, row == first_row_ ? ahead : k, wanted, dims_,
                                             scores_ + row * kAttentionSplit + key);
    });
  }

  /// The same for keys transposed to floats, in blocks of kColumns: kt[block][d][kColumns]. `key` is a multiple of it.
  void score_transposed(const float* kt, int32_t key, int32_t count) {
    for_each_block<kWideRows>([&](int32_t row, auto rows) {
      const int32_t wanted = wanted_keys(row + rows.value - 1, key, count);
      float* scores = scores_ + row * kAttentionSplit + key;
      for (int32_t j = 0; j < wanted; j += kColumns)
        score_columns<Wide, rows.value>(q_ + row * dims_, kt + j * dims_, dims_, scores + j);
    });
  }

  void softmax() {
    for (int32_t row = first_row_; row < num_rows_; ++row) {
      piece_lse_[row] = softmax_row<Lanes>(scores_ + row * kAttentionSplit, keys_of(row), piece_sum_[row]);
    }
    for (int32_t row = first_row_; row < num_rows_; ++row) piece_lse_[row] += log_one<Lanes>(piece_sum_[row]);
  }

  /// Adds the values of `count` keys from `key`, weighed, which lie as in a page.
  template <class Element>
  void weigh(const Element* v, const Element* ahead, int32_t key, int32_t count) {
    weigh_blocks<Lanes, Element, 3>(v, ahead, key, count);
  }

  /// The same for values turned to floats.
  void weigh_floats(const float* v, int32_t key, int32_t count) {
    weigh_blocks<Wide, float, kWideRows>(v, nullptr, key, count);
  }

  /// Normalises the piece's outputs and merges them into the state.
  void fold() {
    const bool first = piece_ == t_->kv_begin;
    for (int32_t row = first_row_; row < num_rows_; ++row) {
      float* piece = piece_out_ + row * dims_;
      float* state = state_ + row * dims_;
      float* dst = first ? state : piece;
      const Lanes share = Lanes::broadcast(1.0f / piece_sum_[row]);
      for (int32_t d = 0; d < dims_; d += kLanes) (Lanes::load(piece + d) * share).store(dst + d);
      if (first) {
        state_lse_[row] = piece_lse_[row];
      } else {
        merge_piece<Lanes>(state, state_lse_[row], piece, piece_lse_[row], t_->head_dim);
      }
    }
  }

  void write() const {
    const int32_t first_token = t_->kv_begin > t_->first_position ? t_->kv_begin - t_->first_position : 0;
    for (int32_t token = first_token; token < t_->num_tokens; ++token) {
      for (int32_t head = 0; head < t_->num_heads; ++head) {
        const int32_t row = token * t_->num_heads + head;
        const float* src = state_ + row * dims_;
        float* dst = t_->out + token * t_->out_stride + head * t_->head_dim;
        for (int32_t d = 0; d < t_->head_dim; ++d) dst[d] = src[d];
        if (t_->lse != nullptr) t_->lse[token * t_->lse_stride + head] = state_lse_[row];
      }
    }
  }

 private:
  template <int kRows>
  struct Count {
    static constexpr int value = kRows;
  };

  /// Keys of the piece that the row attends, <= 0 for none.
  int32_t keys_of(int32_t row) const {
    const int32_t keys = t_->first_position + row / t_->num_heads + 1 - piece_;
    return keys < num_keys_ ? keys : num_keys_;
  }
  /// Of `count` keys from `key`, those that the row attends; <= 0 for none.
  int32_t wanted_keys(int32_t row, int32_t key, int32_t count) const {
    const int32_t wanted = keys_of(row) - key;
    return wanted < count ? wanted : count;
  }

  template <class Vector, class Source, int kMostRows>
  void weigh_blocks(const Source* v, const Source* ahead, int32_t key, int32_t count) {
    for_each_block<kMostRows>([&](int32_t row, auto rows) {
      int32_t common = wanted_keys(row, key, count);  // keys that all rows of the block attend
      common = common > 0 ? common : 0;
      const float* p = scores_ + row * kAttentionSplit + key;
      float* out = piece_out_ + row * dims_;
      if (common > 0)
        add_value_rows<Lanes, Vector, Source, rows.value>(p, v, row == first_row_ ? ahead : nullptr, common, dims_,
                                                          out);
      for (int32_t r = 1; r < rows.value; ++r) {
        const int32_t own = wanted_keys(row + r, key, count);
        if (own <= common) continue;
        add_value_rows<Lanes, Vector, Source, 1>(p + r * kAttentionSplit + common, v + common * dims_, nullptr,
                                                 own - common, dims_, out + r * dims_);
      }
    });
  }

  void load_queries() {
    for (int32_t token = 0; token < t_->num_tokens; ++token) {
      for (int32_t head = 0; head < t_->num_heads; ++head) {
        const float* src = t_->q + token * t_->q_stride + head * t_->head_dim;
        float* dst = q_ + (token * t_->num_heads + head) * dims_;
        for (int32_t d = 0; d < t_->head_dim; ++d) dst[d] = src[d] * t_->scale;
        for (int32_t d = t_->head_dim; d < dims_; ++d) dst[d] = 0.0f;
      }
    }
  }

  /// Calls use(row, Count<number of rows>) for blocks of at most kMostRows (3 or 6) that cover [first_row_, num_rows_).
  template <int kMostRows, class Function>
  void for_each_block(Function use) const {
    int32_t row = first_row_;
    for (; kMostRows == 6 && num_rows_ - row >= 6; row += 6) use(row, Count<kMostRows>{});
    while (row < num_rows_) {
      const int32_t left = num_rows_ - row;
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

  const AttentionTile* t_ = nullptr;
  int32_t dims_ = 0;  // head_dim, rounded up to whole lanes
  int32_t num_rows_ = 0;
  float* q_ = nullptr;          // [rows, dims_], scaled
  float* piece_out_ = nullptr;  // [rows, dims_]
  float* state_ = nullptr;      // [rows, dims_]
  float* scores_ = nullptr;     // [rows, kAttentionSplit]
  float* state_lse_ = nullptr;  // [rows], as the next two
  float* piece_lse_ = nullptr;
  float* piece_sum_ = nullptr;
  int32_t piece_ = 0;
  int32_t num_keys_ = 0;   // in the piece
  int32_t first_row_ = 0;  // with a key in the piece
};

}  // namespace
}  // namespace terrace
