// Turns "these runs of query tokens over these page tables" into a balanced list of attention tasks. Pure host code, used by
// every backend. It decides who computes what, never what is computed: results do not depend on the machine (LAW 4).
//
// The arithmetic it serves (LAW 3): the keys of a query at position p are cut into pieces at absolute multiples of
// kAttentionSplit; each piece yields a normalised partial output and its log-sum-exp (O, LSE); pieces are merged strictly
// from left to right. A task covers whole pieces: either all of a query's pieces, merged on the way (fold), or exactly
// one, whose partial is stored for the merge. A piece of which a query sees no key (attention_window.h) is none of its
// pieces: what lies outside of every query's window costs nothing.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/attention_split.h"
#include "kernels/attention_window.h"

namespace terrace {

/// Consecutive query tokens of one sequence in a step's token batch.
struct AttentionRun {
  int32_t first_token = 0;     // index in the batch
  int32_t num_tokens = 0;
  int32_t first_position = 0;  // position of first_token; keys 0..position are attended, or those of them in its window
  int32_t first_page = 0;      // index in each group's StepBatch::frames of the page that holds position 0
  int32_t num_sparse = 0;      // so many last tokens may read sparsely (AttentionArgs::sparse)
};

/// One unit of work: query tokens [first_token, first_token + num_tokens) x every query head of KV heads [kv_head, kv_head +
/// num_kv_heads) x keys [kv_begin, kv_end) but the gap (each query stops at its own position and has a gap of its own, no smaller). Several KV heads only for one token: they
/// are neighbours in a page, so reading them in turn reads memory in longer runs.
struct AttentionTask {
  int32_t run = 0;  // index in the runs
  int32_t first_token = 0;
  int32_t num_tokens = 0;
  int32_t kv_head = 0;
  int32_t num_kv_heads = 1;
  int32_t kv_begin = 0;  // multiple of kAttentionSplit
  int32_t kv_end = 0;
  KeyGap gap;  // the first token's
  int32_t partial = -1;  // < 0: fold all pieces and write the output; else the partial of the first token or head (the next: + 1)
};

/// A token whose pieces were stored apart: partial(i), i < num_pieces, merged in this order.
struct AttentionMerge {
  int32_t token = 0;
  int32_t kv_head = 0;
  int32_t partial_begin = 0;
  int32_t partial_stride = 0;
  int32_t num_pieces = 0;
  int32_t sink_pieces = 0;  // those before the gap,
  int32_t hole = 0;         // after which so many of the task's pieces are not the token's

  int32_t partial(int32_t i) const { return partial_begin + (i < sink_pieces ? i : i + hole) * partial_stride; }
};

struct AttentionPlan {
  std::vector<AttentionTask> tasks;    // longest first
  std::vector<AttentionMerge> merges;
  int32_t num_partials = 0;  // each [q_heads_per_kv_head][head_dim] O and [q_heads_per_kv_head] LSE
};

/// What the planner must know of the machine and the model.
struct AttentionShape {
  int32_t num_kv_heads = 0;  // this rank's
  int32_t num_workers = 1;
  int32_t tile_tokens = 16;    // query tokens in a prefill tile at most
  int32_t heads_together = 1;  // KV heads of a task of one token at most
  AttentionWindow window = {};

  bool operator==(const AttentionShape&) const = default;
};

AttentionPlan plan_attention(std::span<const AttentionRun> runs, const AttentionShape& shape);

}  // namespace terrace
