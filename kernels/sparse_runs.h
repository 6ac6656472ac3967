// Which tokens of a step choose the pages that they read (sparse_reading.h), and the runs that their choices are attended as. Pure host code, used
// by every backend.
//
// What is chosen is itself a step: a run of one token for each token that chooses and each KV head, with a page table of its own in which the chosen
// pages follow one another as if they were all. So the planner and the kernels attend it like any other, and where all pages are chosen the bits are
// those of reading all.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/attention_planner.h"
#include "kernels/backend.h"
#include "kernels/sparse_reading.h"

namespace terrace {

/// A token that chooses.
struct SparseQuery {
  int32_t token;       // index in the batch
  int32_t position;
  int32_t first_page;  // index in its group's frames: the page of position 0
  int32_t num_pages;   // up to its own
  int64_t bounds;      // where the bounds of its candidates begin, [num_q_heads, num_candidates]

  /// The pages between the first and the last ones, which are always read.
  int32_t num_candidates(const SparseReading& sparse) const { return num_pages - sparse.always(); }
};

class SparseRuns {
 public:
  /// Sorts the batch's tokens into those that choose and the others. Tokens that might and see too few pages read all.
  void find(const StepBatch& batch, const SparseReading& sparse, int32_t page_tokens, int32_t num_kv_heads);

  std::span<const SparseQuery> queries() const { return queries_; }
  /// The batch's runs without the tokens that choose (a run may be empty);
  std::span<const AttentionRun> others() const { return others_; }
  /// and, for each query and each KV head, one run of that token, whose first_page is an index in the frames that it reads. Its first_position is
  /// what follows from their number: in Mode::kTop it is known; else it is set by whoever chooses.
  std::span<const AttentionRun> runs() const { return runs_; }
  std::span<AttentionRun> runs() { return runs_; }
  /// Room that the runs' frames take.
  int32_t num_frames() const { return num_frames_; }
  /// Of runs().
  AttentionPlan plan(int32_t num_workers);

  /// Places the bounds of the queries from `begin` on, one behind another, as far as they are no more than `most` together (but of one at least).
  /// Returns the first query that must wait, and in `count` the bounds' number.
  size_t place_bounds(size_t begin, int32_t num_q_heads, int64_t most, int64_t& count);

  /// Of the tokens that might choose and read all; and, in pages_seen, of those that choose.
  const ReadingStats& stats() const { return stats_; }

 private:
  int32_t kv_head_of(int32_t run) const { return run % num_kv_heads_; }

  SparseReading sparse_;
  int32_t num_kv_heads_ = 1;
  int32_t num_frames_ = 0;
  std::vector<SparseQuery> queries_;
  std::vector<AttentionRun> others_, runs_, numbered_;
  ReadingStats stats_;
};

}  // namespace terrace
