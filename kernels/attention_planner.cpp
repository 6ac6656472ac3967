#include "kernels/attention_planner.h"

#include <algorithm>

namespace terrace {
namespace {

// A task over this share of a worker's part of the step is split: small enough for an even end, large enough that few
// are.
constexpr int64_t kTasksPerWorker = 4;
// Reading a K and V row costs about as much as using it for this many query tokens.
constexpr int64_t kReadCostTokens = 2;

// Partials of a plan at most, each the q heads of a KV head by head_dim floats: 32 MiB for 8 heads of 128. What would need more is folded: less
// even, but the same bits.
constexpr int32_t kMostPartials = 8192;

int64_t cost(const AttentionTask& task) {
  const int32_t unseen = std::min(task.gap.end, task.kv_end) - std::max(task.gap.begin, task.kv_begin);
  const int32_t num_keys = task.kv_end - task.kv_begin - std::max(0, unseen);
  return (task.num_tokens + kReadCostTokens) * static_cast<int64_t>(num_keys) * task.num_kv_heads;
}

int32_t divide_up(int32_t a, int32_t b) { return (a + b - 1) / b; }

/// The pieces with a key before `num_keys` that is not in the gap: [0, sinks) and [window, end).
struct SeenPieces {
  int32_t sinks, window, end;

  SeenPieces(const KeyGap& gap, int32_t num_keys) : end(divide_up(num_keys, kAttentionSplit)) {
    sinks = std::min(divide_up(gap.begin, kAttentionSplit), end);
    window = std::max(divide_up(gap.begin, kAttentionSplit), gap.end / kAttentionSplit);
  }
  int32_t count() const { return sinks + std::max(0, end - window); }
  int32_t operator[](int32_t i) const { return i < sinks ? i : window + i - sinks; }
};

/// One folding task per tile of query tokens and KV head, or per token and some KV heads.
std::vector<AttentionTask> tile_runs(std::span<const AttentionRun> runs, const AttentionShape& shape) {
  std::vector<AttentionTask> tasks;
  for (size_t run_index = 0; run_index < runs.size(); ++run_index) {
    const AttentionRun& run = runs[run_index];
    const int32_t most_heads = run.num_tokens == 1 ? shape.heads_together : 1;
    const int32_t heads = divide_up(shape.num_kv_heads, divide_up(shape.num_kv_heads, most_heads));
    for (int32_t begin = 0; begin < run.num_tokens; begin += shape.tile_tokens) {
      AttentionTask task;
      task.run = static_cast<int32_t>(run_index);
      task.first_token = run.first_token + begin;
      task.num_tokens = std::min(shape.tile_tokens, run.num_tokens - begin);
      task.kv_end = run.first_position + begin + task.num_tokens;
      task.gap = shape.window.gap(run.first_position + begin);
      task.kv_begin = task.gap.skip(0, kAttentionSplit);
      for (task.kv_head = 0; task.kv_head < shape.num_kv_heads; task.kv_head += heads) {
        task.num_kv_heads = std::min(heads, shape.num_kv_heads - task.kv_head);
        tasks.push_back(task);
      }
    }
  }
  return tasks;
}

void push_by_head(AttentionTask task, AttentionPlan& plan) {
  const int32_t end = task.kv_head + task.num_kv_heads;
  for (task.num_kv_heads = 1; task.kv_head < end; ++task.kv_head) {
    plan.tasks.push_back(task);
    if (task.partial >= 0) ++task.partial;
  }
}

/// Replaces a folding task by one task per piece, and the merges that join them for each of its tokens. Pieces that don't
/// come out even among the workers are cut by KV head too.
void split_task(const AttentionTask& task, const AttentionRun& run, const AttentionShape& shape, AttentionPlan& plan) {
  const SeenPieces pieces(task.gap, task.kv_end);
  const int32_t partials = task.num_tokens * task.num_kv_heads;  // of a piece
  for (int32_t i = 0; i < pieces.count(); ++i) {
    AttentionTask part = task;
    part.kv_begin = pieces[i] * kAttentionSplit;
    part.kv_end = std::min(task.kv_end, part.kv_begin + kAttentionSplit);
    part.partial = plan.num_partials + i * partials;
    if (task.num_kv_heads > 1 && i >= pieces.count() - pieces.count() % shape.num_workers) {
      push_by_head(part, plan);
    } else {
      plan.tasks.push_back(part);
    }
  }
  for (int32_t i = 0; i < partials; ++i) {
    const int32_t token = task.first_token + i / task.num_kv_heads;
    const int32_t position = run.first_position + (token - run.first_token);
    const int32_t kv_head = task.kv_head + i % task.num_kv_heads;
    const SeenPieces own(shape.window.gap(position), position + 1);
    plan.merges.push_back({token, kv_head, plan.num_partials + i, partials, own.count(), own.sinks, own.window - pieces.window});
  }
  plan.num_partials += pieces.count() * partials;
}

}  // namespace

AttentionPlan plan_attention(std::span<const AttentionRun> runs, const AttentionShape& shape) {
  const std::vector<AttentionTask> tiles = tile_runs(runs, shape);
  int64_t total = 0;
  for (const AttentionTask& tile : tiles) total += cost(tile);

  AttentionPlan plan;
  plan.tasks.reserve(tiles.size());
  for (const AttentionTask& tile : tiles) {
    const bool worth_splitting = shape.num_workers > 1 && cost(tile) * shape.num_workers * kTasksPerWorker > total;
    if (!worth_splitting) {
      plan.tasks.push_back(tile);
    } else if (const int32_t pieces = SeenPieces(tile.gap, tile.kv_end).count(); pieces <= 1) {
      push_by_head(tile, plan);
    } else if (plan.num_partials + int64_t{pieces} * tile.num_tokens * tile.num_kv_heads > kMostPartials) {
      plan.tasks.push_back(tile);
    } else {
      split_task(tile, runs[static_cast<size_t>(tile.run)], shape, plan);
    }
  }
  std::stable_sort(plan.tasks.begin(), plan.tasks.end(),
                   [](const AttentionTask& a, const AttentionTask& b) { return cost(a) > cost(b); });
  return plan;
}

}  // namespace terrace
