// Chooses the pages that tokens read sparsely (sparse_reading.h). Owned by the CPU's attention, used from its step thread; the work is dealt to the
// pool. A choice depends on the sequence's own keys, the token's query and the KV head alone, so it is the same in any batch and on any rank (LAW 4).
//
// What was chosen is itself a step: a run of one token for each token and KV head, with a page table of its own in which the chosen pages follow one
// another as if they were all. So the planner and the kernels attend it like any other, and where all pages are chosen the bits are those of reading all.
//
// kBounded. L: the mass (sum of exp(score)) of the pages that are read anyway, from the log-sum-exp of attending them. Left out are pages S whose
// bounds u_p say that together they hold no more than epsilon L: U = sum over S of page_tokens exp(u_p) <= epsilon L for each query head. Since no key of
// page p scores above u_p, S holds at most U; and since x / (x + y) grows with x and falls with y, its share of the whole softmax is at most
// U / (U + L) <= epsilon / (1 + epsilon). The normalised output is then off by at most twice that share times the largest value.
// Floats: scores are what the kernels compute. A bound and a score are sums in float of about head_dim / 4 and head_dim / 8 steps, each off by at most
// 2^-24 of the sum of magnitudes a step; u_p is raised by head_dim 2^-24 of that sum, which covers both. Exponentials, their sums, and log L
// itself are off by less than 2^-14; U is raised by 2^-12. What exp() gives as 0 is below 2^24 keys times e^-86.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/backend.h"
#include "kernels/base/function_ref.h"
#include "kernels/base/thread_pool.h"
#include "kernels/cpu/attention_tile.h"
#include "kernels/cpu/query_heads.h"

namespace terrace {

class PageChoice {
 public:
  PageChoice(ThreadPool& pool, const AttentionKernels& kernels) : pool_(pool), kernels_(kernels) {}

  /// For the layer of `args`. False: all tokens read all. Else:
  bool choose(const AttentionArgs& args, const StepBatch& batch, const QueryHeads& heads);
  /// the batch's runs without the tokens that have chosen (a run may be empty);
  std::span<const AttentionRun> others() const { return others_; }
  /// and, for each token that has and each KV head, one run of that token, whose first_page is an index in frames().
  std::span<const AttentionRun> runs() const { return runs_; }
  const uint32_t* frames() const { return frames_.data(); }
  /// Of these runs.
  AttentionPlan plan(int32_t num_workers);

  ReadingStats take_stats();

 private:
  struct Query {  // a token that chooses
    int32_t token;
    int32_t position;
    const uint32_t* frames;  // of its sequence
    int32_t num_pages;
    int64_t bounds;          // index in bounds_: [num_q_heads, candidates]
  };
  struct Part {  // of the pages of a query and KV head
    int32_t query;
    int32_t kv_head;
    int32_t first;  // candidates
    int32_t count;
  };
  struct Scratch {  // of a thread
    std::vector<float> halves;  // PageBounds::halves
    std::vector<float> values, sorted, masses;
    std::vector<uint8_t> chosen;
    std::vector<uint32_t> frames;
    std::vector<float> attention, lse;
  };
  struct Layer {
    const AttentionArgs& args;
    const QueryHeads& heads;
  };

  int32_t kv_head_of(int32_t run) const { return run % num_kv_heads_; }

  void find_queries(const AttentionArgs& args, const StepBatch& batch);
  size_t place_bounds(size_t begin, const AttentionArgs& args);
  void find_bounds(const Layer& layer, const Part& part, Scratch& scratch);
  void pick(const Layer& layer, size_t run, Scratch& scratch);
  void pick_top(const Layer& layer, const Query& query, int32_t kv_head, Scratch& scratch) const;
  float pick_unbounded(const Layer& layer, const Query& query, int32_t kv_head, Scratch& scratch) const;
  float left_out(const SparseReading& sparse, Scratch& scratch) const;
  void attend_chosen(const Layer& layer, const Query& query, int32_t kv_head, Scratch& scratch) const;
  int32_t list_frames(const SparseReading& sparse, const Query& query, const std::vector<uint8_t>& chosen, uint32_t* to) const;
  void for_each(size_t count, FunctionRef<void(size_t, Scratch&)> use);
  int32_t candidates(const SparseReading& sparse, const Query& query) const { return query.num_pages - sparse.always(); }

  ThreadPool& pool_;
  const AttentionKernels& kernels_;
  int32_t num_kv_heads_ = 1;
  std::vector<Query> queries_;
  std::vector<Part> parts_;
  std::vector<AttentionRun> others_, runs_, numbered_;
  std::vector<uint32_t> frames_;
  std::vector<float> bounds_;
  std::vector<float> shares_;  // of each run: the most that it has left out
  std::vector<Scratch> scratch_;
  ReadingStats stats_;
};

}  // namespace terrace
