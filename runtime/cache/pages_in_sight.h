// Which pages of a sequence and layer group its queries can still see: where attention is limited to a window, those of the sinks and of the last one. The others are let go as the sequence moves on. Pure arithmetic, for the scheduler that lets them go and the workers that check it.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/attention_window.h"

namespace terrace {

class PagesInSight {
 public:
  /// A step computes at most `max_chunk` positions of a sequence. window.size 0: all is in sight.
  PagesInSight(AttentionWindow window, int32_t page_tokens, int32_t max_chunk)
      : window_(window), page_tokens_(page_tokens), max_chunk_(max_chunk) {}

  bool limited() const { return window_.size > 0; }

  struct Range {
    int32_t begin = 0;
    int32_t end = 0;  // <= begin: none
    bool holds(int32_t page) const { return page >= begin && page < end; }
    /// Of its pages.
    int32_t count_before(int32_t page) const { return std::max(0, std::min(end, page) - begin); }
  };
  /// Pages of which no query from `position` on sees anything.
  Range unseen_from(int32_t position) const {
    const KeyGap gap = window_.gap(position);
    return {static_cast<int32_t>(pages_for(gap.begin)), gap.end / page_tokens_};
  }

  /// Pages that a sequence of so many positions has at a time, at most.
  int64_t most_at_a_time(int64_t positions) const {
    const int64_t all = pages_for(positions);
    if (!limited()) return all;
    const int64_t window_and_chunk = pages_for(int64_t{window_.size} - 1 + max_chunk_) + 1;  // cut at both ends
    return std::min(all, pages_for(window_.sinks) + window_and_chunk);
  }

 private:
  int64_t pages_for(int64_t positions) const { return (positions + page_tokens_ - 1) / page_tokens_; }

  AttentionWindow window_;
  int32_t page_tokens_;
  int32_t max_chunk_;
};

}  // namespace terrace
