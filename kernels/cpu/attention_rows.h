// The query rows of one attention tile (attention_kernel.h), up to 6 at a time: their scores, weights and outputs, piece by piece. K and V come
// packed; where they come from is attention_kernel.h's business.
#pragma once

#include "kernels/cpu/attention_memory.h"
#include "kernels/cpu/attention_products.h"
#include "kernels/cpu/attention_softmax.h"

namespace terrace {
namespace {

/// Rows are ordered by token, then head, so that the keys which a row attends never begin or end before those of the row
/// before it, but for the sinks, which are alike for all. A row's keys of a piece: [0, sinks) and [first_key, end_key).
template <class V>
class RowBlock {
 public:
  using Lanes = typename V::Lanes;

  /// Rows [first, first + count) of the tile, which take the memory of the `work`th block.
  void begin(const AttentionTile& tile, const TileMemory& memory, int32_t first, int32_t count, int32_t work) {
    t_ = &tile;
    m_ = &memory;
    dims_ = padded_dims(tile.head_dim);
    first_ = first;
    count_ = count;
    scores_ = memory.scores + int64_t{work} * kMostRows * kAttentionSplit;
    weights_ = memory.weights + int64_t{work} * kMostRows * kAttentionSplit / 2;
    sums_ = memory.sums + int64_t{work} * kMostRows * dims_;
    out_ = memory.out + int64_t{work} * kMostRows * dims_;
  }

  void begin_piece(int32_t piece, int32_t num_keys) {
    piece_ = piece;
    num_keys_ = num_keys;
    num_sinks_ = t_->window.sinks - piece;
    num_sinks_ = num_sinks_ < 0 ? 0 : num_sinks_ < num_keys ? num_sinks_ : num_keys;
    begin_ = num_sinks_ > 0 ? 0 : first_key(0) / kBlockKeys * kBlockKeys;
    end_ = (end_key(count_ - 1) + kBlockKeys - 1) / kBlockKeys * kBlockKeys;
    if (end_ < begin_) end_ = begin_;
    for (int32_t i = 0; i < count_ * dims_; ++i) sums_[i] = 0;
  }

  /// Whether a row of these sees a key of the piece.
  bool any() const { return end_ > begin_; }
  /// The piece's keys that a row may see, but for the gap: whole blocks, counted from its begin.
  int32_t begin_key() const { return begin_; }
  int32_t end_key() const { return end_; }
  KeyGap gap() const { return {num_sinks_, first_key(0)}; }

  /// Scores of packed blocks from `key`. Fetches as much from `ahead` on its way, where there is something and one block.
  void score(const int32_t* keys, const float* key_scale, int32_t key, int32_t blocks, const std::byte* ahead = nullptr) {
    for (; blocks > 0 && sinks_apart(key) > 0; --blocks, key += kBlockKeys, keys += kBlockKeys * dims_ / 2, key_scale += kBlockKeys) {
      float at_sinks[kMostRows * kBlockKeys];
      score(m_->q_sinks, m_->q_sinks_scale, keys, key_scale, 1, at_sinks, kBlockKeys, nullptr);
      score(m_->q, m_->q_scale, keys, key_scale, 1, scores_ + key, kAttentionSplit, nullptr);
      for (int32_t r = 0; r < count_; ++r) {
        for (int32_t j = 0; j < sinks_apart(key); ++j) scores_[r * kAttentionSplit + key + j] = at_sinks[r * kBlockKeys + j];
      }
    }
    if (blocks > 0) score(m_->q, m_->q_scale, keys, key_scale, blocks, scores_ + key, kAttentionSplit, ahead);
  }

  /// Turns scores into integer weights.
  void softmax() {
    static_assert(kAttentionSplit == 2 * kPartKeys && kMostRows <= kLanes);
    ManySixteens<V> highest, total, first_part, second_part, most;
    for (int32_t r = 0; r < count_; ++r) {
      if (!has_keys(r)) continue;
      hide_unseen(r);
      highest.set(r, largest_scores<V>(scores_ + r * kAttentionSplit, begin_, end_));
    }
    const Lanes largest = highest.largest();
    float by_row[kLanes];
    largest.store(by_row);
    const int32_t middle = end_ < kPartKeys ? end_ : begin_ > kPartKeys ? begin_ : kPartKeys;
    for (int32_t r = 0; r < count_; ++r) {
      if (!has_keys(r)) continue;
      float* scores = scores_ + r * kAttentionSplit;
      Sixteen<V> all(0.0f), first(0.0f), second(0.0f), top(0.0f);
      exponentials<V>(scores, m_->value_scale, begin_, middle, by_row[r], all, first, top);
      exponentials<V>(scores, m_->value_scale, middle, end_, by_row[r], all, second, top);
      total.set(r, all);
      first_part.set(r, first);
      second_part.set(r, second);
      most.set(r, top);
    }
    const Lanes sum = total.sum(), scale = weight_scales(first_part.sum(), second_part.sum(), most.largest());
    (Lanes::broadcast(1.0f) / (scale * sum)).store(share_);
    Lanes::fma(largest, Lanes::broadcast(kLn2), log(sum)).store(lse_);
    scale.store(by_row);
    for (int32_t r = 0; r < count_; ++r) {
      int32_t* weights = weights_ + r * kAttentionSplit / 2;
      if (has_keys(r)) {
        store_weights<V>(scores_ + r * kAttentionSplit, begin_, end_, by_row[r], weights);
      } else {
        for (int32_t j = begin_ / 2; j < end_ / 2; ++j) weights[j] = 0;
      }
    }
  }

  /// Adds the values of packed blocks from `key`, weighed. Fetches as much from `ahead` on its way, where there is something.
  void weigh(const int32_t* values, int32_t key, int32_t blocks, const std::byte* ahead = nullptr) {
    ahead == nullptr ? weigh<false>(values, key, blocks, ahead) : weigh<true>(values, key, blocks, ahead);
  }

  /// To be called when all values of the `part`th kPartKeys keys are weighed.
  void end_part(int32_t part) {
    using Wide = typename V::Wide;
    for (int32_t i = 0; i < count_ * dims_; i += Wide::kWidth) {
      const Wide sum = V::Pairs::load(sums_ + i).floats();
      (part == 0 ? sum : Wide::load(out_ + i) + sum).store(out_ + i);
      V::Pairs::zero().store(sums_ + i);
    }
  }

  /// Normalises the piece's outputs and merges them into the state.
  void fold() {
    float* state_lse = m_->state_lse + first_;
    float before[kLanes] = {}, of_state[kLanes], of_piece[kLanes], lse[kLanes];
    for (int32_t r = 0; r < count_; ++r) before[r] = state_lse[r];
    const MergeShares<Lanes> shares(Lanes::load(before), Lanes::load(lse_));
    shares.state.store(of_state);
    shares.piece.store(of_piece);
    shares.lse.store(lse);
    for (int32_t r = 0; r < count_; ++r) {
      if (!has_keys(r)) continue;
      // The tile's first piece or, without sinks, that in which the row's window begins.
      const bool first = piece_ == t_->kv_begin || (t_->window.sinks == 0 && gap_end(r) >= piece_);
      float* piece = out_ + r * dims_;
      float* state = m_->state + (first_ + r) * dims_;
      float* dst = first ? state : piece;
      const Lanes share = Lanes::broadcast(share_[r]);
      for (int32_t d = 0; d < dims_; d += kLanes) (Lanes::load(piece + d) * share).store(dst + d);
      if (!first) merge_piece<Lanes>(state, piece, of_state[r], of_piece[r], dims_);
      state_lse[r] = first ? lse_[r] : lse[r];
    }
  }

  /// All rows or, of one piece, those with a key in it.
  void write() const {
    for (int32_t r = 0; r < count_; ++r) {
      if (t_->kv_end - t_->kv_begin <= kAttentionSplit && !has_keys(r)) continue;
      const int32_t token = (first_ + r) / t_->num_heads, head = (first_ + r) % t_->num_heads;
      const float* src = m_->state + (first_ + r) * dims_;
      float* dst = t_->out + token * t_->out_stride + head * t_->head_dim;
      for (int32_t d = 0; d < t_->head_dim; ++d) dst[d] = src[d];
      if (t_->lse != nullptr) t_->lse[token * t_->lse_stride + head] = m_->state_lse[first_ + r];
    }
  }

 private:
  template <int kRows>
  struct Count {
    static constexpr int value = kRows;
  };

  int32_t position(int32_t r) const { return t_->first_position + (first_ + r) / t_->num_heads; }
  int32_t gap_end(int32_t r) const { return t_->window.gap(position(r)).end; }
  /// Where the row's keys behind the gap begin, counted from the piece's begin; num_keys_ where they don't.
  int32_t first_key(int32_t r) const {
    const int32_t first = gap_end(r) - piece_;
    return first > num_keys_ ? num_keys_ : first > num_sinks_ ? first : num_sinks_;
  }
  /// Where the row's keys end, counted from the piece's begin.
  int32_t end_key(int32_t r) const {
    const int32_t keys = position(r) + 1 - piece_;
    return keys < 0 ? 0 : keys < num_keys_ ? keys : num_keys_;
  }
  bool has_keys(int32_t r) const { return end_key(r) > 0 && (num_sinks_ > 0 || first_key(r) < end_key(r)); }

  /// Scores of keys that the row doesn't see become minus infinity, the others what exponentials take.
  void hide_unseen(int32_t r) {
    float* scores = scores_ + r * kAttentionSplit;
    if (t_->soft_cap > 0) cap_row<Lanes>(scores + begin_, end_ - begin_, t_->soft_cap);
    const auto hide = [scores](int32_t from, int32_t to) {
      for (int32_t j = from; j < to; ++j) scores[j] = -__builtin_inff();
    };
    hide(num_sinks_ > begin_ ? num_sinks_ : begin_, first_key(r));
    hide(end_key(r), end_);
  }

  /// Of a block of keys, the sinks at its head that have queries of their own.
  int32_t sinks_apart(int32_t key) const {
    const int32_t sinks = t_->q_sinks != nullptr ? num_sinks_ - key : 0;
    return sinks < kBlockKeys ? sinks : kBlockKeys;
  }

  void score(const int32_t* q, const float* q_scale, const int32_t* keys, const float* key_scale, int32_t blocks, float* scores, int32_t stride,
             const std::byte* ahead) {
    constexpr int kMostBlocks = V::Pairs::kWidth == kBlockKeys ? 4 : 1;
    q += first_ * dims_ / 2;
    q_scale += first_;
    with_count([&](auto rows) {
      if (ahead != nullptr) return score_blocks<V, rows.value, 1, true>(q, q_scale, keys, key_scale, dims_, scores, stride, ahead);
      const auto run = [&](auto count, int32_t b) {
        score_blocks<V, rows.value, count.value, false>(q, q_scale, keys + b * kBlockKeys * dims_ / 2, key_scale + b * kBlockKeys, dims_,
                                                        scores + b * kBlockKeys, stride, nullptr);
      };
      int32_t b = 0;
      for (; b + kMostBlocks <= blocks; b += kMostBlocks) run(Count<kMostBlocks>{}, b);
      for (; b < blocks; ++b) run(Count<1>{}, b);
    });
  }

  template <bool kFetch>
  void weigh(const int32_t* values, int32_t key, int32_t blocks, const std::byte* ahead) {
    constexpr int kMostVectors = V::Pairs::kWidth == kBlockKeys ? 4 : 2;
    const int32_t steps = blocks * kBlockKeys / 2;
    with_count([&](auto rows) {
      const auto run = [&](auto vectors, int32_t d) {
        add_values<V, rows.value, vectors.value, kFetch>(weights_ + key / 2, kAttentionSplit / 2, values + d, steps, dims_, sums_ + d,
                                                         kFetch ? ahead + d * sizeof(int32_t) : nullptr);
      };
      int32_t d = 0;
      for (; d + kMostVectors * V::Pairs::kWidth <= dims_; d += kMostVectors * V::Pairs::kWidth) run(Count<kMostVectors>{}, d);
      for (; d < dims_; d += 2 * V::Pairs::kWidth) run(Count<2>{}, d);
    });
  }

  template <class Function>
  void with_count(Function use) const {
    switch (count_) {
      case 1: return use(Count<1>{});
      case 2: return use(Count<2>{});
      case 3: return use(Count<3>{});
      case 4: return use(Count<4>{});
      case 5: return use(Count<5>{});
      default: return use(Count<kMostRows>{});
    }
  }

  const AttentionTile* t_ = nullptr;
  const TileMemory* m_ = nullptr;
  int32_t dims_ = 0;  // head_dim, padded
  int32_t first_ = 0;
  int32_t count_ = 0;
  float* scores_ = nullptr;
  int32_t* weights_ = nullptr;
  int32_t* sums_ = nullptr;
  float* out_ = nullptr;
  float share_[kLanes] = {};  // by row: what its sums are multiplied with
  float lse_[kLanes] = {};    // and its log-sum-exp in the piece
  int32_t piece_ = 0;
  int32_t num_keys_ = 0;   // in the piece
  int32_t num_sinks_ = 0;  // of them
  int32_t begin_ = 0;
  int32_t end_ = 0;
};

}  // namespace
}  // namespace terrace
