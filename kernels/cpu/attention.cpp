#include "kernels/cpu/attention.h"

#include <algorithm>
#include <atomic>

namespace terrace {
namespace {

constexpr int64_t kMergeGrain = 16;
constexpr size_t kLineFloats = 16;  // of a cache line

}  // namespace

const AttentionKernels& attention_kernels(Isa isa, Numerics numerics) {
  if (numerics == Numerics::kFast && isa >= Isa::kAmx && has_amx_bf16()) return kAmxAttention;
  if (numerics == Numerics::kFast && isa >= Isa::kVnni && has_fast_bf16_pairs()) return kBf16Attention;
  if (isa >= Isa::kAvx512) return kAvx512Attention;
  return isa >= Isa::kAvx2 ? kAvx2Attention : kScalarAttention;
}

void PagedAttention::begin_step(const StepBatch& batch) {
  batch_ = batch;
  plans_.clear();
}

const AttentionPlan& PagedAttention::plan(const AttentionArgs& args, const SparseReading& sparse, std::span<const AttentionRun> runs) {
  const AttentionShape shape = {args.num_kv_heads, pool_.num_threads(), tile_tokens(), kHeadsTogether, args.key_window()};
  for (const Planned& planned : plans_) {
    if (planned.shape == shape && planned.sparse == sparse) return planned.plan;
  }
  plans_.push_back({shape, sparse, plan_attention(runs, shape)});
  return plans_.back().plan;
}

void PagedAttention::run(const AttentionArgs& args) {
  heads_.set(args);
  const uint32_t* frames = batch_.frames_of(args.place.group).data();
  if (!choice_.choose(args, batch_, heads_)) return attend({args, batch_.runs, frames, plan(args, {}, batch_.runs)});
  SparseRuns& sparse = choice_.runs();
  attend({args, sparse.others(), frames, plan(args, args.sparse, sparse.others())});
  const AttentionPlan chosen = sparse.plan(pool_.num_threads());
  attend({args, sparse.runs(), choice_.frames(), chosen});
}

void PagedAttention::attend(const Part& part) {
  const AttentionPlan& plan = part.plan;
  if (plan.tasks.empty()) return;
  const auto dims = static_cast<size_t>(part.args.head_dim);
  const size_t num_partial_rows = static_cast<size_t>(plan.num_partials) * static_cast<size_t>(heads_.most());
  if (partial_lse_.size() < num_partial_rows) partial_lse_.resize(num_partial_rows);
  if (partial_out_.size() < num_partial_rows * dims) partial_out_.resize(num_partial_rows * dims);
  scratch_.resize(static_cast<size_t>(pool_.num_threads()));
  const size_t scratch_floats =
      std::max(attention_scratch_floats(tile_tokens() * heads_.most(), part.args.head_dim),
               kHeadsTogether * attention_scratch_floats(heads_.most(), part.args.head_dim));

  std::atomic<size_t> next = 0;
  pool_.run([&](int thread) {
    std::vector<float>& scratch = scratch_[static_cast<size_t>(thread)];
    if (scratch.size() < scratch_floats + kLineFloats) {
      scratch.resize(scratch_floats + kLineFloats);  // touched first by the thread that uses it
    }
    const size_t misaligned = reinterpret_cast<uintptr_t>(scratch.data()) / sizeof(float) % kLineFloats;
    float* aligned = scratch.data() + (kLineFloats - misaligned) % kLineFloats;
    for (size_t i = next.fetch_add(1); i < plan.tasks.size(); i = next.fetch_add(1)) run_task(part, i, aligned);
  });
  const auto num_merges = static_cast<int64_t>(plan.merges.size());
  pool_.parallel_for(num_merges, kMergeGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) run_merge(part.args, plan.merges[static_cast<size_t>(i)]);
  });
}

void PagedAttention::run_task(const Part& part, size_t index, float* scratch) {
  const AttentionTask& task = part.plan.tasks[index];
  const size_t scratch_floats = attention_scratch_floats(heads_.most(), part.args.head_dim);
  AttentionTile tiles[kHeadsTogether], next_tiles[kHeadsTogether];
  for (int32_t i = 0; i < task.num_kv_heads; ++i) {
    tiles[i] = make_tile(part, task, i);
    tiles[i].scratch = scratch + static_cast<size_t>(i) * scratch_floats;  // several only for one token: as many rows as a KV head has query heads
  }
  TileGroup next{next_tiles, 0};
  const size_t next_index = index + static_cast<size_t>(pool_.num_threads());  // while the threads take turns
  if (next_index < part.plan.tasks.size()) {
    const AttentionTask& next_task = part.plan.tasks[next_index];
    for (; next.count < next_task.num_kv_heads; ++next.count)
      next_tiles[next.count] = make_tile(part, next_task, next.count);
  }
  kernels_.tiles({tiles, task.num_kv_heads}, next);
}

/// The tile of one of the task's KV heads.
AttentionTile PagedAttention::make_tile(const Part& part, const AttentionTask& task, int32_t index) {
  const AttentionArgs& args = part.args;
  const AttentionRun& run = part.runs[static_cast<size_t>(task.run)];
  const int32_t kv_head = task.kv_head + index;
  AttentionTile tile = heads_.tile(args, task.first_token, kv_head, part.frames + run.first_page);
  tile.num_tokens = task.num_tokens;
  tile.first_position = run.first_position + task.first_token - run.first_token;
  tile.kv_begin = task.kv_begin;
  tile.kv_end = task.kv_end;
  tile.gap = task.gap;
  if (task.partial < 0) {
    tile.out = args.out.row(task.first_token) + heads_.first(kv_head) * args.head_dim;
    tile.out_stride = args.out.stride;
  } else {
    tile.out_stride = static_cast<int64_t>(heads_.most()) * args.head_dim;
    tile.out = partial_out_.data() + (task.partial + index) * tile.out_stride;
    tile.lse_stride = heads_.most();
    tile.lse = partial_lse_.data() + (task.partial + index) * tile.lse_stride;
  }
  return tile;
}

void PagedAttention::run_merge(const AttentionArgs& args, const AttentionMerge& merge) {
  const int32_t most_heads = heads_.most();
  const int64_t partial_floats = static_cast<int64_t>(most_heads) * args.head_dim;
  PartialMerge parts;
  parts.partial = partial_out_.data() + merge.partial_begin * partial_floats;
  parts.partial_stride = merge.partial_stride * partial_floats;
  parts.lse = partial_lse_.data() + static_cast<int64_t>(merge.partial_begin) * most_heads;
  parts.lse_stride = static_cast<int64_t>(merge.partial_stride) * most_heads;
  parts.num_pieces = merge.num_pieces;
  parts.sink_pieces = merge.sink_pieces;
  parts.hole = merge.hole;
  parts.num_heads = heads_.count(merge.kv_head);
  parts.head_dim = args.head_dim;
  parts.out = args.out.row(merge.token) + heads_.first(merge.kv_head) * args.head_dim;
  kernels_.merge(parts);
}

}  // namespace terrace
