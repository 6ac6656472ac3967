#include "kernels/cpu/attention.h"

#include <algorithm>
#include <atomic>

namespace terrace {
namespace {

constexpr int32_t kTileRows = 192;  // queries, outputs and scores of a tile stay in L2, the keys at work in L1
constexpr int64_t kMergeGrain = 16;
constexpr size_t kLineFloats = 16;  // of a cache line

}  // namespace

const AttentionKernels& attention_kernels(Isa isa, Numerics numerics) {
  if (numerics == Numerics::kFast && isa >= Isa::kAmx && has_amx_bf16()) return kAmxAttention;
  if (numerics == Numerics::kFast && isa >= Isa::kVnni && has_fast_bf16()) return kBf16Attention;
  if (isa >= Isa::kAvx512) return kAvx512Attention;
  return isa >= Isa::kAvx2 ? kAvx2Attention : kScalarAttention;
}

void PagedAttention::begin_step(const StepBatch& batch) {
  batch_ = batch;
  plans_.clear();
}

const AttentionPlan& PagedAttention::plan(const AttentionArgs& args) {
  head_begin_.assign(static_cast<size_t>(args.num_kv_heads) + 1, 0);
  for (const int32_t kv_head : args.kv_head_of_q) ++head_begin_[static_cast<size_t>(kv_head) + 1];
  group_ = *std::max_element(head_begin_.begin(), head_begin_.end());
  for (size_t i = 1; i < head_begin_.size(); ++i) head_begin_[i] += head_begin_[i - 1];
  const AttentionShape shape = {args.num_kv_heads, pool_.num_threads(), std::max(1, kTileRows / group_), kHeadsTogether, args.key_window()};
  for (const Planned& planned : plans_) {
    if (planned.shape == shape) return planned.plan;
  }
  plans_.push_back({shape, plan_attention(batch_.runs, shape)});
  return plans_.back().plan;
}

void PagedAttention::run(const AttentionArgs& args) {
  const AttentionPlan& plan = this->plan(args);
  const auto dims = static_cast<size_t>(args.head_dim);
  const size_t num_partial_rows = static_cast<size_t>(plan.num_partials) * static_cast<size_t>(group_);
  if (partial_lse_.size() < num_partial_rows) partial_lse_.resize(num_partial_rows);
  if (partial_out_.size() < num_partial_rows * dims) partial_out_.resize(num_partial_rows * dims);
  scratch_.resize(static_cast<size_t>(pool_.num_threads()));
  const size_t scratch_floats =
      std::max(attention_scratch_floats(std::max(1, kTileRows / group_) * group_, args.head_dim),
               kHeadsTogether * attention_scratch_floats(group_, args.head_dim));

  std::atomic<size_t> next = 0;
  pool_.run([&](int thread) {
    std::vector<float>& scratch = scratch_[static_cast<size_t>(thread)];
    if (scratch.size() < scratch_floats + kLineFloats) {
      scratch.resize(scratch_floats + kLineFloats);  // touched first by the thread that uses it
    }
    const size_t misaligned = reinterpret_cast<uintptr_t>(scratch.data()) / sizeof(float) % kLineFloats;
    float* aligned = scratch.data() + (kLineFloats - misaligned) % kLineFloats;
    for (size_t i = next.fetch_add(1); i < plan.tasks.size(); i = next.fetch_add(1)) run_task(args, plan, i, aligned);
  });
  const auto num_merges = static_cast<int64_t>(plan.merges.size());
  pool_.parallel_for(num_merges, kMergeGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) run_merge(args, plan.merges[static_cast<size_t>(i)]);
  });
}

void PagedAttention::run_task(const AttentionArgs& args, const AttentionPlan& plan, size_t index, float* scratch) {
  const AttentionTask& task = plan.tasks[index];
  const size_t scratch_floats = attention_scratch_floats(group_, args.head_dim);
  AttentionTile tiles[kHeadsTogether], next_tiles[kHeadsTogether];
  for (int32_t i = 0; i < task.num_kv_heads; ++i) {
    tiles[i] = make_tile(args, task, i);
    tiles[i].scratch = scratch + static_cast<size_t>(i) * scratch_floats;  // several only for one token: group_ rows
  }
  TileGroup next{next_tiles, 0};
  const size_t next_index = index + static_cast<size_t>(pool_.num_threads());  // while the threads take turns
  if (next_index < plan.tasks.size()) {
    const AttentionTask& next_task = plan.tasks[next_index];
    for (; next.count < next_task.num_kv_heads; ++next.count)
      next_tiles[next.count] = make_tile(args, next_task, next.count);
  }
  kernels_.tiles({tiles, task.num_kv_heads}, next);
}

/// The tile of one of the task's KV heads.
AttentionTile PagedAttention::make_tile(const AttentionArgs& args, const AttentionTask& task, int32_t index) {
  const auto kv_head = static_cast<size_t>(task.kv_head + index);
  const int32_t first_head = head_begin_[kv_head];
  const AttentionRun& run = batch_.runs[static_cast<size_t>(task.run)];
  const PageLayout& layout = args.kv->layout;
  AttentionTile tile;
  tile.q = args.q.row(task.first_token) + first_head * args.head_dim;
  tile.q_stride = args.q.stride;
  if (args.q_sinks.data != nullptr) {
    tile.q_sinks = args.q_sinks.row(task.first_token) + first_head * args.head_dim;
    tile.q_sinks_stride = args.q_sinks.stride;
  }
  tile.num_tokens = task.num_tokens;
  tile.num_heads = head_begin_[kv_head + 1] - first_head;
  tile.head_dim = args.head_dim;
  tile.scale = args.scale;
  tile.soft_cap = args.soft_cap;
  tile.first_position = run.first_position + task.first_token - run.first_token;
  tile.kv_begin = task.kv_begin;
  tile.kv_end = task.kv_end;
  tile.window = args.key_window();
  tile.gap = task.gap;
  const size_t k_rows = layout.row_offset(layout.k, args.place.layer, task.kv_head + index, 0);
  tile.pool = args.kv->base + k_rows;
  tile.frames = batch_.frames_of(args.place.group).data() + run.first_page;
  tile.page_stride = layout.page_stride;
  tile.v_offset = layout.row_offset(layout.v, args.place.layer, task.kv_head + index, 0) - k_rows;
  tile.k_scales = layout.scale_offset(layout.k, args.place.layer, task.kv_head + index, 0) - k_rows;
  tile.v_scales = layout.scale_offset(layout.v, args.place.layer, task.kv_head + index, 0) - k_rows;
  tile.page_tokens = layout.page_tokens;
  tile.format = layout.format();
  if (task.partial < 0) {
    tile.out = args.out.row(task.first_token) + first_head * args.head_dim;
    tile.out_stride = args.out.stride;
  } else {
    tile.out_stride = static_cast<int64_t>(group_) * args.head_dim;
    tile.out = partial_out_.data() + (task.partial + index) * tile.out_stride;
    tile.lse_stride = group_;
    tile.lse = partial_lse_.data() + (task.partial + index) * tile.lse_stride;
  }
  return tile;
}

void PagedAttention::run_merge(const AttentionArgs& args, const AttentionMerge& merge) {
  const auto kv_head = static_cast<size_t>(merge.kv_head);
  const int32_t first_head = head_begin_[kv_head];
  const int64_t partial_floats = static_cast<int64_t>(group_) * args.head_dim;
  PartialMerge parts;
  parts.partial = partial_out_.data() + merge.partial_begin * partial_floats;
  parts.partial_stride = merge.partial_stride * partial_floats;
  parts.lse = partial_lse_.data() + static_cast<int64_t>(merge.partial_begin) * group_;
  parts.lse_stride = static_cast<int64_t>(merge.partial_stride) * group_;
  parts.num_pieces = merge.num_pieces;
  parts.sink_pieces = merge.sink_pieces;
  parts.hole = merge.hole;
  parts.num_heads = head_begin_[kv_head + 1] - first_head;
  parts.head_dim = args.head_dim;
  parts.out = args.out.row(merge.token) + first_head * args.head_dim;
  kernels_.merge(parts);
}

}  // namespace terrace
