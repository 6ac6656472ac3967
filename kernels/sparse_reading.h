// Sparse reading: a token reads some of its sequence's pages only, chosen anew by each token, layer and KV head from the summaries of their keys
// (page_layout.h; Quest, arXiv 2406.10774). Plain values.
//
// A summary bounds the scores of a page's keys from above: q.k <= sum over dims of max(q_d most_d, q_d least_d). The page's bound is the largest of
// those of the query heads that share the KV head, each counted from the largest bound of its head.
#pragma once

#include <algorithm>
#include <cstdint>

namespace terrace {

struct SparseReading {
  /// kTop: the pages of the largest bounds are read. kBounded: and all others but those that are proven to hold little together (PageChoice).
  enum class Mode { kOff, kTop, kBounded };
  Mode mode = Mode::kOff;
  int32_t pages = 64;         // of the largest bounds, beside those that are always read:
  int32_t sink_pages = 1;     // the first ones
  int32_t recent_pages = 4;   // and the last ones, the query's own included: at least 1
  float epsilon = 0;          // kBounded: what may be left out, of the softmax's mass that is read

  int32_t always() const { return sink_pages + recent_pages; }
  /// The first position whose token has pages to choose from; the tokens before it read all.
  int64_t first_choosing(int32_t page_tokens) const {
    if (mode == Mode::kOff || (mode == Mode::kBounded && epsilon <= 0)) return INT64_MAX;
    return (int64_t{always()} + pages) * page_tokens;
  }
  bool operator==(const SparseReading&) const = default;
};

/// What tokens that may read sparsely have read; pages are counted by layer and KV head.
struct ReadingStats {
  int64_t pages_read = 0;
  int64_t pages_seen = 0;  // those, and the ones left out
  float left_out = 0;      // SparseReading::Mode::kBounded: no softmax has lost a larger share than this

  ReadingStats& operator+=(const ReadingStats& other) {
    pages_read += other.pages_read;
    pages_seen += other.pages_seen;
    left_out = std::max(left_out, other.left_out);
    return *this;
  }
};

}  // namespace terrace
