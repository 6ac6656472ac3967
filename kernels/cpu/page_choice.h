// Chooses the pages that tokens read sparsely (sparse_reading.h). Owned by the CPU's attention, used from its step thread; the work is dealt to the
// pool. A choice depends on the sequence's own keys, the token's query and the KV head alone, so it is the same in any batch and on any rank (LAW 4).
// What was chosen is attended as the runs of SparseRuns.
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
#include "kernels/sparse_runs.h"

namespace terrace {

class PageChoice {
 public:
  PageChoice(ThreadPool& pool, const AttentionKernels& kernels) : pool_(pool), kernels_(kernels) {}

  /// For the layer of `args`. False: all tokens read all. Else:
  bool choose(const AttentionArgs& args, const StepBatch& batch, const QueryHeads& heads);
  /// runs().others() and runs().runs() are to be attended, the latter's frames being those here.
  SparseRuns& runs() { return runs_; }
  const uint32_t* frames() const { return frames_.data(); }

  ReadingStats take_stats();

 private:
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

  size_t place_bounds(size_t begin, const AttentionArgs& args);
  void find_bounds(const Layer& layer, const Part& part, Scratch& scratch);
  void pick(const Layer& layer, size_t run, Scratch& scratch);
  void pick_top(const Layer& layer, const SparseQuery& query, int32_t kv_head, Scratch& scratch) const;
  float pick_unbounded(const Layer& layer, const SparseQuery& query, int32_t kv_head, Scratch& scratch) const;
  float left_out(const SparseReading& sparse, Scratch& scratch) const;
  void attend_chosen(const Layer& layer, const SparseQuery& query, int32_t kv_head, Scratch& scratch) const;
  int32_t list_frames(const SparseReading& sparse, const SparseQuery& query, const std::vector<uint8_t>& chosen, uint32_t* to) const;
  void for_each(size_t count, FunctionRef<void(size_t, Scratch&)> use);
  const uint32_t* frames_of(const SparseQuery& query) const { return step_frames_ + query.first_page; }

  ThreadPool& pool_;
  const AttentionKernels& kernels_;
  int32_t num_kv_heads_ = 1;
  const uint32_t* step_frames_ = nullptr;  // of the layer's group
  SparseRuns runs_;
  std::vector<Part> parts_;
  std::vector<uint32_t> frames_;
  std::vector<float> bounds_;
  std::vector<float> shares_;  // of each run: the most that it has left out
  std::vector<Scratch> scratch_;
  ReadingStats stats_;
};

}  // namespace terrace
