// Which keys each query row of an attention tile (attention_kernel.h) attends.
#pragma once

#include "kernels/cpu/attention_tile.h"

namespace terrace {
namespace {

/// Rows are ordered by token, then head, so that the keys which a row attends never begin or end before those of the row
/// before it, but for the sinks, which are alike for all. A row's keys of a piece: [0, sinks) and [first_key, end_key).
class RowKeys {
 protected:
  int32_t position(int32_t row) const { return t_->first_position + row / t_->num_heads; }
  int32_t gap_end(int32_t row) const { return t_->window.gap(position(row)).end; }
  /// Where the row's keys behind the gap begin, counted from the piece's begin; num_keys_ where they don't.
  int32_t first_key(int32_t row) const {
    const int32_t first = gap_end(row) - piece_;
    return first > num_keys_ ? num_keys_ : first > num_sinks_ ? first : num_sinks_;
  }
  /// Where the row's keys end, counted from the piece's begin.
  int32_t end_key(int32_t row) const {
    const int32_t keys = position(row) + 1 - piece_;
    return keys < num_keys_ ? keys : num_keys_;
  }
  /// Of the keys from `key`, those before the first that this or a later row attends.
  int32_t skipped_keys(int32_t row, int32_t key) const {
    const int32_t skipped = key < num_sinks_ ? 0 : first_key(row) - key;
    return skipped > 0 ? skipped : 0;
  }
  /// Of `count` keys from `key`, those before the row's last; <= 0 for none.
  int32_t wanted_keys(int32_t row, int32_t key, int32_t count) const {
    const int32_t wanted = end_key(row) - key;
    return wanted < count ? wanted : count;
  }

  /// Of `count` keys from `key`, the sinks at their head that have queries of their own.
  int32_t sinks_apart(int32_t key, int32_t count) const {
    const int32_t sinks = t_->q_sinks != nullptr ? num_sinks_ - key : 0;
    return sinks < 0 ? 0 : sinks < count ? sinks : count;
  }

  const AttentionTile* t_ = nullptr;
  int32_t piece_ = 0;      // its first key
  int32_t num_keys_ = 0;   // in the piece
  int32_t num_sinks_ = 0;  // of them
};

}  // namespace
}  // namespace terrace
