#include "kernels/sparse_runs.h"

#include <algorithm>

namespace terrace {

void SparseRuns::find(const StepBatch& batch, const SparseReading& sparse, int32_t page_tokens, int32_t num_kv_heads) {
  const int64_t first_choosing = sparse.first_choosing(page_tokens);
  sparse_ = sparse;
  num_kv_heads_ = num_kv_heads;
  num_frames_ = 0;
  stats_ = {};
  queries_.clear();
  runs_.clear();
  others_.assign(batch.runs.begin(), batch.runs.end());
  for (AttentionRun& run : others_) {
    const int32_t end = run.num_tokens;
    for (int32_t i = end - run.num_sparse; i < end; ++i) {
      const int32_t position = run.first_position + i, num_pages = position / page_tokens + 1;
      stats_.pages_seen += int64_t{num_pages} * num_kv_heads;
      if (position < first_choosing) {
        stats_.pages_read += int64_t{num_pages} * num_kv_heads;
        continue;
      }
      run.num_tokens = std::min(run.num_tokens, i);
      queries_.push_back({run.first_token + i, position, run.first_page, num_pages, 0});
      const int32_t most = sparse.mode == SparseReading::Mode::kTop ? sparse.always() + sparse.pages : num_pages;
      for (int32_t head = 0; head < num_kv_heads; ++head, num_frames_ += most) {
        runs_.push_back({run.first_token + i, 1, position - (num_pages - most) * page_tokens, num_frames_});
      }
    }
  }
}

// To the planner a run is a token of its own, with one KV head.
AttentionPlan SparseRuns::plan(int32_t num_workers) {
  const auto token_of = [&](int32_t run) { return runs_[static_cast<size_t>(run)].first_token; };
  numbered_ = runs_;
  for (size_t i = 0; i < runs_.size(); ++i) numbered_[i].first_token = static_cast<int32_t>(i);
  AttentionPlan plan = plan_attention(numbered_, {1, num_workers});
  for (AttentionTask& task : plan.tasks) {
    task.kv_head = kv_head_of(task.run);
    task.first_token = token_of(task.run);
  }
  for (AttentionMerge& merge : plan.merges) {
    merge.kv_head = kv_head_of(merge.token);
    merge.token = token_of(merge.token);
  }
  return plan;
}

size_t SparseRuns::place_bounds(size_t begin, int32_t num_q_heads, int64_t most, int64_t& count) {
  size_t end = begin;
  for (count = 0; end < queries_.size(); ++end) {
    SparseQuery& query = queries_[end];
    const int64_t own = int64_t{query.num_candidates(sparse_)} * num_q_heads;
    if (end > begin && count + own > most) break;
    query.bounds = count;
    count += own;
  }
  return end;
}

}  // namespace terrace
