// Attention over paged K and V, written once for every ISA (lanes.h). The arithmetic of one query row, whatever tile it
// is in:
//   piece = 256 keys from an absolute multiple of 256; s_j = dot(q * scale, k_j) in 8 lanes over head_dim; m = max s_j;
//   p_j = exp(s_j - m); l = sum of p_j in 8 lanes over j; O = (sum of p_j v_j in order of j, by fma) / l; LSE = m + log
//   l; pieces are merged from left to right.
// Hence equal bits alone or in a batch, in any chunking, fold or stored partials. A position beyond a row's own is
// never part of its arithmetic (its page may hold stale NaN).
//
// Speed: rows (tokens x heads of the group) go through register tiles (attention_blocks.h); K and V are widened to
// floats once where many rows use them, else read as they lie, with the pages to come fetched ahead.
#pragma once

#include "kernels/cpu/attention_blocks.h"
#include "kernels/cpu/attention_tile.h"

namespace terrace {
namespace {

/// One tile. Rows are ordered by token, then head, so that the number of keys a row attends never falls from one row to
/// the next.
template <class Lanes, class Element>
class TileKernel {
 public:
  explicit TileKernel(const AttentionTile& tile)
      : t_(tile),
        dims_((tile.head_dim + kLanes - 1) / kLanes * kLanes),
        num_rows_(tile.num_tokens * tile.num_heads),
        widen_(num_rows_ > kDirectRows || dims_ != tile.head_dim) {
    q_ = tile.scratch;
    piece_out_ = q_ + num_rows_ * dims_;
    state_ = piece_out_ + num_rows_ * dims_;
    scores_ = state_ + num_rows_ * dims_;
    state_lse_ = scores_ + num_rows_ * kAttentionSplit;
    piece_lse_ = state_lse_ + num_rows_;
    piece_sum_ = piece_lse_ + num_rows_;
    wide_ = piece_sum_ + num_rows_;
    chunk_keys_ = chunk_keys(dims_, t_.page_tokens);
  }

  /// Keys that are widened at a time: 16 KiB of floats stay in L1, whole pages.
  static int32_t chunk_keys(int32_t dims, int32_t page_tokens) {
    const int32_t pages = 4096 / (dims * page_tokens);
    return (pages > 1 ? pages : 1) * page_tokens;
  }

  void run() {
    ahead_piece_ = t_.kv_begin;
    for (int i = 0; i < kPagesAhead; ++i) fetch_ahead();
    load_queries();
    for (piece_ = t_.kv_begin; piece_ < t_.kv_end; piece_ += kAttentionSplit) {
      num_keys_ = t_.kv_end - piece_ < kAttentionSplit ? t_.kv_end - piece_ : kAttentionSplit;
      const int32_t first_token = piece_ > t_.first_position ? piece_ - t_.first_position : 0;
      first_row_ = first_token * t_.num_heads;
      for (int32_t i = first_row_ * dims_; i < num_rows_ * dims_; ++i) piece_out_[i] = 0.0f;
      for_each_rows(0, [this](const auto* k, int32_t key, int32_t count) { score_block(k, key, count); });
      softmax();
      for_each_rows(t_.v_offset, [this](const auto* v, int32_t key, int32_t count) { weigh_block(v, key, count); });
      fold();
    }
    write();
  }

 private:
  static constexpr int32_t kDirectRows = 6;  // up to here, reading 16-bit rows again costs less than widening them
  static constexpr int kPagesAhead = 2;      // 1 to 4 measured alike

  /// Keys of the piece that the row attends, <= 0 for none.
  int32_t keys_of(int32_t row) const {
    const int32_t keys = t_.first_position + row / t_.num_heads + 1 - piece_;
    return keys < num_keys_ ? keys : num_keys_;
  }

  void load_queries() {
    for (int32_t row = 0; row < num_rows_; ++row) {
      const float* src = t_.q + row / t_.num_heads * t_.q_stride + row % t_.num_heads * t_.head_dim;
      float* dst = q_ + row * dims_;
      for (int32_t d = 0; d < t_.head_dim; ++d) dst[d] = src[d] * t_.scale;
      for (int32_t d = t_.head_dim; d < dims_; ++d) dst[d] = 0.0f;
    }
  }

  const Element* page_rows(int32_t page, size_t offset) const {
    return reinterpret_cast<const Element*>(t_.pool + t_.frames[page] * t_.page_stride + offset);
  }

  /// Calls use(rows, first key, number of keys) for all K or V of the piece, by `offset`: page by page as it lies, or
  /// some pages at a time as floats. Keys count from the piece's begin.
  template <class Function>
  void for_each_rows(size_t offset, Function use) {
    int32_t wide_keys = 0;  // widened, not used yet
    for (int32_t key = 0; key < num_keys_; key += t_.page_tokens) {
      fetch_ahead();
      const int32_t count = num_keys_ - key < t_.page_tokens ? num_keys_ - key : t_.page_tokens;
      const Element* rows = page_rows((piece_ + key) / t_.page_tokens, offset);
      if (!widen_) {
        use(rows, key, count);
        continue;
      }
      widen(rows, count, wide_ + wide_keys * dims_);
      wide_keys += count;
      if (wide_keys < chunk_keys_ && key + count < num_keys_) continue;
      use(static_cast<const float*>(wide_), key + count - wide_keys, wide_keys);
      wide_keys = 0;
    }
  }

  /// Asks for the page that is needed kPagesAhead from now: pages lie apart, so the hardware cannot guess. First all K
  /// of a piece, then all V, then the next piece. Inlined, since gcc drops calls of a function that does nothing but
  /// prefetch.
  [[gnu::always_inline]] void fetch_ahead() {
    const int32_t begin = ahead_piece_ + ahead_key_;
    if (begin >= t_.kv_end) return;
    const int32_t end = ahead_piece_ + kAttentionSplit < t_.kv_end ? ahead_piece_ + kAttentionSplit : t_.kv_end;
    const auto* rows = reinterpret_cast<const char*>(page_rows(begin / t_.page_tokens, ahead_offset_));
    const int32_t count = end - begin < t_.page_tokens ? end - begin : t_.page_tokens;
    const size_t bytes = static_cast<size_t>(count * t_.head_dim) * sizeof(Element);
    for (size_t i = 0; i < bytes; i += 64) __builtin_prefetch(rows + i);
    ahead_key_ += t_.page_tokens;
    if (begin + t_.page_tokens < end) return;
    ahead_key_ = 0;
    if (ahead_offset_ != 0) ahead_piece_ += kAttentionSplit;
    ahead_offset_ = ahead_offset_ != 0 ? 0 : t_.v_offset;
  }

  void widen(const Element* rows, int32_t count, float* wide) const {
    const int32_t full = t_.head_dim / kLanes * kLanes;
    for (int32_t j = 0; j < count; ++j) {
      const Element* src = rows + j * t_.head_dim;
      float* dst = wide + j * dims_;
      for (int32_t d = 0; d < full; d += kLanes) Lanes::load(src + d).store(dst + d);
      if (full == dims_) continue;
      Element tail[kLanes] = {};
      for (int32_t d = full; d < t_.head_dim; ++d) tail[d - full] = src[d];
      Lanes::load(tail).store(dst + full);
    }
  }

  /// Calls use(row, Count<number of rows>) for blocks of at most 3 rows that cover [first_row_, num_rows_).
  template <int kRows>
  struct Count {
    static constexpr int value = kRows;
  };
  template <class Function>
  void for_each_block(Function use) const {
    int32_t row = first_row_;
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

  template <class Source>
  void score_block(const Source* k, int32_t key, int32_t count) {
    for_each_block([&](int32_t row, auto rows) {
      const int32_t wanted = keys_of(row + rows.value - 1) - key;  // of the block's last row, which attends most
      if (wanted <= 0) return;
      score_rows<Lanes, Source, rows.value>(q_ + row * dims_, k, wanted < count ? wanted : count, dims_,
                                            scores_ + row * kAttentionSplit + key);
    });
  }

  template <class Source>
  void weigh_block(const Source* v, int32_t key, int32_t count) {
    for_each_block([&](int32_t row, auto rows) {
      int32_t common = keys_of(row) - key;  // keys that all rows of the block attend
      common = common < 0 ? 0 : common < count ? common : count;
      const float* p = scores_ + row * kAttentionSplit + key;
      float* out = piece_out_ + row * dims_;
      if (common > 0) add_value_rows<Lanes, Source, rows.value>(p, v, common, dims_, out);
      for (int32_t r = 1; r < rows.value; ++r) {
        int32_t own = keys_of(row + r) - key;
        own = own < count ? own : count;
        if (own <= common) continue;
        add_value_rows<Lanes, Source, 1>(p + r * kAttentionSplit + common, v + common * dims_, own - common, dims_,
                                         out + r * dims_);
      }
    });
  }

  void softmax() {
    for (int32_t row = first_row_; row < num_rows_; ++row) {
      piece_lse_[row] = softmax_row<Lanes>(scores_ + row * kAttentionSplit, keys_of(row), piece_sum_[row]);
    }
  }

  /// Normalises the piece's outputs and merges them into the state.
  void fold() {
    for (int32_t row = first_row_; row < num_rows_; ++row) {
      float* piece = piece_out_ + row * dims_;
      float* state = state_ + row * dims_;
      const bool first = piece_ == t_.kv_begin;
      float* dst = first ? state : piece;
      const Lanes share = Lanes::broadcast(1.0f / piece_sum_[row]);
      for (int32_t d = 0; d < dims_; d += kLanes) (Lanes::load(piece + d) * share).store(dst + d);
      if (first) {
        state_lse_[row] = piece_lse_[row];
      } else {
        merge_piece<Lanes>(state, state_lse_[row], piece, piece_lse_[row], t_.head_dim);
      }
    }
  }

  void write() const {
    const int32_t first_token = t_.kv_begin > t_.first_position ? t_.kv_begin - t_.first_position : 0;
    for (int32_t row = first_token * t_.num_heads; row < num_rows_; ++row) {
      const int32_t token = row / t_.num_heads;
      const int32_t head = row % t_.num_heads;
      const float* src = state_ + row * dims_;
      float* dst = t_.out + token * t_.out_stride + head * t_.head_dim;
      for (int32_t d = 0; d < t_.head_dim; ++d) dst[d] = src[d];
      if (t_.lse != nullptr) t_.lse[token * t_.lse_stride + head] = state_lse_[row];
    }
  }

  const AttentionTile& t_;
  const int32_t dims_;  // head_dim, rounded up to whole lanes
  const int32_t num_rows_;
  const bool widen_;
  float* q_;          // [rows, dims_], scaled
  float* piece_out_;  // [rows, dims_]
  float* state_;      // [rows, dims_]
  float* scores_;     // [rows, kAttentionSplit]
  float* state_lse_;  // [rows], as the next two
  float* piece_lse_;
  float* piece_sum_;
  float* wide_;  // [chunk_keys_, dims_]
  int32_t chunk_keys_;
  int32_t piece_ = 0;
  int32_t num_keys_ = 0;     // in the piece
  int32_t first_row_ = 0;    // with a key in the piece
  int32_t ahead_piece_ = 0;  // the page to fetch next
  int32_t ahead_key_ = 0;
  size_t ahead_offset_ = 0;
};

template <class Lanes>
void run_tile(const AttentionTile& tile) {
  switch (tile.kv_type) {
    case KvType::kF32: return TileKernel<Lanes, float>(tile).run();
    case KvType::kF16: return TileKernel<Lanes, F16>(tile).run();
    case KvType::kBF16: return TileKernel<Lanes, BF16>(tile).run();
  }
}

template <class Lanes>
void run_merge(const PartialMerge& merge) {
  for (int32_t head = 0; head < merge.num_heads; ++head) {
    float* out = merge.out + head * merge.head_dim;
    const float* partial = merge.partial + head * merge.head_dim;
    for (int32_t d = 0; d < merge.head_dim; ++d) out[d] = partial[d];
    float lse = merge.lse[head];
    for (int32_t i = 1; i < merge.num_pieces; ++i) {
      merge_piece<Lanes>(out, lse, partial + i * merge.partial_stride, merge.lse[i * merge.lse_stride + head],
                         merge.head_dim);
    }
  }
}

}  // namespace
}  // namespace terrace
