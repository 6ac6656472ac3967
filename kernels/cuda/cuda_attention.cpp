#include "kernels/cuda/cuda_attention.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <numbers>

#include "kernels/base/error.h"
#include "kernels/cuda/cuda_device.h"
#include "kernels/cuda/step_arrays.h"

namespace terrace {
namespace {

constexpr int32_t kFirstPartials = 256;
constexpr int kJoinBlocks = 2;  // on a multiprocessor
constexpr uint32_t kAllFrames = 0xffffffffu;

KvElement kv_element(KvType type) {
  if (type == KvType::kF32) return KvElement::kF32;
  if (is_quantised(type)) return KvElement::kScaled;
  if (type == KvType::kF8) return KvElement::kF8;
  return type == KvType::kBF16 ? KvElement::kBf16 : KvElement::kF16;
}

/// The kernels read and write rows in 16 bytes at a time.
void check_rows(const char* name, const MatrixView& rows) {
  if (reinterpret_cast<uintptr_t>(rows.data) % 16 != 0 || rows.stride % 4 != 0) {
    throw Error(ErrorCode::kInternal, fmt::format("attention's {} begins at {} with rows {} floats apart: both must be whole 16 bytes", name, fmt::ptr(rows.data), rows.stride));
  }
}

}  // namespace

CudaAttention::CudaAttention(CudaDevice& device, const BackendOptions&) : device_(device) {}
CudaAttention::~CudaAttention() = default;

CudaAttention::Geometry CudaAttention::geometry_of(const AttentionArgs& args) {
  if (args.head_dim < 4 || args.head_dim > kMostHeadDims || args.head_dim % 4 != 0) {
    throw Error(ErrorCode::kInvalidValue, fmt::format("heads of {} dims: attention on a CUDA device takes multiples of 4 up to {}; say backend: cpu", args.head_dim, kMostHeadDims));
  }
  Geometry geometry;
  geometry.kind = {kv_element(args.kv->layout.k.type), args.head_dim};
  geometry.num_kv_heads = args.num_kv_heads;
  geometry.head_begin.assign(static_cast<size_t>(args.num_kv_heads) + 1, 0);
  for (const int32_t kv_head : args.kv_head_of_q) ++geometry.head_begin[static_cast<size_t>(kv_head) + 1];
  geometry.most_heads = *std::max_element(geometry.head_begin.begin(), geometry.head_begin.end());
  for (size_t i = 1; i < geometry.head_begin.size(); ++i) geometry.head_begin[i] += geometry.head_begin[i - 1];
  geometry.window = args.key_window();
  if (args.sparse.mode != SparseReading::Mode::kOff) {
    geometry.sparse = args.sparse;
    geometry.page_tokens = args.kv->layout.page_tokens;
  }
  return geometry;
}

void CudaAttention::begin_step(const StepBatch& batch, StepArrays& arrays) {
  batch_ = batch;
  arrays_ = &arrays;
  ++step_;
  for (Plan& plan : plans_) {
    fill(plan);
    add_lists(plan);
  }
}

CudaAttention::Plan& CudaAttention::plan_for(const AttentionArgs& args) {
  Geometry geometry = geometry_of(args);
  const auto found = std::find_if(plans_.begin(), plans_.end(), [&](const Plan& plan) { return plan.geometry == geometry; });
  Plan& plan = found != plans_.end() ? *found : add_plan(std::move(geometry));
  plan.last_step = step_;
  return plan;
}

/// In the step's middle: the lists that the step has so far keep their slots. Those of an earlier model go; graphs, whose steps do not come by here, begin anew.
CudaAttention::Plan& CudaAttention::add_plan(Geometry geometry) {
  std::erase_if(plans_, [this](const Plan& plan) { return plan.last_step != step_; });
  Plan& plan = plans_.emplace_back();
  if (!prepare_attention(geometry.kind, geometry.window.sinks > 0, device_.properties())) {
    throw Error(ErrorCode::kInvalidValue, fmt::format("heads of {} dims{} need more shared memory than a block of this device may have ({} KiB): say backend: cpu", geometry.kind.head_dim,
                                                      geometry.window.sinks > 0 ? " with attention.sinks" : "", device_.properties().sharedMemPerBlockOptin >> 10));
  }
  const auto blocks = [&](AttentionTile tile) { return device_.num_multiprocessors() * attention_blocks_per_multiprocessor(geometry.kind, tile, device_.properties()); };
  plan.blocks_narrow = blocks(AttentionTile::kNarrow);
  plan.blocks_wide = blocks(AttentionTile::kWide);
  if (geometry.sparse.mode != SparseReading::Mode::kOff) plan.choice = std::make_unique<CudaPageChoice>(device_, geometry.sparse, geometry.page_tokens, geometry.head_begin);
  plan.geometry = std::move(geometry);
  ++generation_;
  fill(plan);
  add_lists(plan);
  arrays_->upload();
  return plan;
}

void CudaAttention::fill(Plan& plan) {
  const Geometry& geometry = plan.geometry;
  plan.joins.clear();
  plan.num_partials = 0;
  if (plan.choice && plan.choice->begin_step(batch_)) ++generation_;
  const bool narrow = batch_.is_decode() && geometry.most_heads <= attention_rows(AttentionTile::kNarrow, geometry.kind.head_dim);
  const int num_workers = narrow ? plan.blocks_narrow : plan.blocks_wide;
  const int32_t tile_tokens = std::max(1, attention_rows(AttentionTile::kWide, geometry.kind.head_dim) / geometry.most_heads);
  const std::span<const AttentionRun> runs = plan.choice ? plan.choice->runs().others() : batch_.runs;
  add_tasks(plan, plan.units, plan_attention(runs, {geometry.num_kv_heads, num_workers, tile_tokens, 1, geometry.window}), runs);
  if (plan.choice) {
    SparseRuns& sparse = plan.choice->runs();
    add_tasks(plan, plan.chosen, sparse.plan(num_workers), sparse.runs());
  }
  reserve_partials(geometry, plan.num_partials);
}

/// The rows of all tasks, in tiles.
void CudaAttention::add_tasks(Plan& plan, Units& units, const AttentionPlan& tasks, std::span<const AttentionRun> runs) {
  const Geometry& geometry = plan.geometry;
  const int32_t wide_rows = attention_rows(AttentionTile::kWide, geometry.kind.head_dim);
  const int32_t narrow_rows = attention_rows(AttentionTile::kNarrow, geometry.kind.head_dim);
  const auto first_head = [&](int32_t kv_head) { return geometry.head_begin[static_cast<size_t>(kv_head)]; };
  units.narrow.clear();
  units.wide.clear();
  for (const AttentionTask& task : tasks.tasks) {
    const AttentionRun& run = runs[static_cast<size_t>(task.run)];
    for (int32_t i = 0; i < task.num_kv_heads; ++i) {
      AttentionUnit unit = {};
      unit.first_token = task.first_token;
      unit.first_position = run.first_position + task.first_token - run.first_token;
      unit.first_page = run.first_page;
      unit.kv_head = task.kv_head + i;
      unit.kv_begin = task.kv_begin;
      unit.kv_end = task.kv_end;
      unit.partial = task.partial < 0 ? -1 : plan.num_partials + task.partial + i;
      unit.first_head = first_head(unit.kv_head);
      unit.heads = first_head(unit.kv_head + 1) - unit.first_head;
      const int32_t num_rows = unit.heads * task.num_tokens;
      for (; unit.first_row < num_rows; unit.first_row += wide_rows) {
        unit.num_rows = std::min(wide_rows, num_rows - unit.first_row);
        (unit.num_rows <= narrow_rows ? units.narrow : units.wide).push_back(unit);
      }
    }
  }
  for (const AttentionMerge& merge : tasks.merges) {
    const int32_t head = first_head(merge.kv_head), heads = first_head(merge.kv_head + 1) - head;
    plan.joins.push_back({merge.token, plan.num_partials + merge.partial_begin, merge.partial_stride, merge.num_pieces, heads, head, merge.sink_pieces, merge.hole});
  }
  plan.num_partials += tasks.num_partials;
}

void CudaAttention::add_lists(Plan& plan) {
  const auto add = [this](Units& units) {
    units.narrow_slot = arrays_->add(std::span<const AttentionUnit>(units.narrow));
    units.num_narrow_slot = arrays_->add(static_cast<int32_t>(units.narrow.size()));
    units.wide_slot = arrays_->add(std::span<const AttentionUnit>(units.wide));
    units.num_wide_slot = arrays_->add(static_cast<int32_t>(units.wide.size()));
  };
  add(plan.units);
  if (plan.choice) {
    add(plan.chosen);
    plan.choice->add_lists(*arrays_);
  }
  plan.joins_slot = arrays_->add(std::span<const AttentionJoin>(plan.joins));
  plan.num_joins_slot = arrays_->add(static_cast<int32_t>(plan.joins.size()));
}

void CudaAttention::reserve_partials(const Geometry& geometry, int32_t num_partials) {
  const size_t rows = static_cast<size_t>(std::max(num_partials, kFirstPartials)) * static_cast<size_t>(geometry.most_heads);
  const size_t out_bytes = rows * static_cast<size_t>(geometry.kind.head_dim) * sizeof(float);
  if (rows * sizeof(float) <= partial_lse_.bytes() && out_bytes <= partial_out_.bytes()) return;
  const size_t factor = num_partials > kFirstPartials ? 2 : 1;  // room to grow
  const size_t new_out = std::max(partial_out_.bytes(), factor * out_bytes), new_lse = std::max(partial_lse_.bytes(), factor * rows * sizeof(float));
  device_.synchronize();  // kernels that use the old memory
  partial_out_ = Buffer();
  partial_lse_ = Buffer();
  partial_out_ = device_.allocate(new_out);
  partial_lse_ = device_.allocate(new_lse);
  ++generation_;
}

AttentionParams CudaAttention::params(const AttentionArgs& args, const Plan& plan) const {
  const PageLayout& layout = args.kv->layout;
  AttentionParams params = {};
  params.q = args.q.data;
  params.q_stride = args.q.stride;
  params.out = args.out.data;
  params.out_stride = args.out.stride;
  params.frames = arrays_->slot<uint32_t>(StepArrays::frames(args.place.group));
  params.kv = args.kv->base + layout.row_offset(layout.k, args.place.layer, 0, 0);
  params.num_frames = kAllFrames;
  params.host_kv = params.kv;  // no frame lies there, but kernels add offsets to it, which a null pointer must not have
  if (args.kv->host != nullptr) {
    params.num_frames = args.kv->num_frames;
    params.host_kv = args.kv->host - params.num_frames * layout.page_stride + layout.row_offset(layout.k, args.place.layer, 0, 0);
  }
  params.page_stride = static_cast<int64_t>(layout.page_stride);
  params.head_stride = static_cast<int64_t>(layout.k.head_stride);
  params.v_offset = static_cast<int64_t>(layout.v.offset);
  params.row_bytes = static_cast<int32_t>(layout.k.row_bytes);
  params.k_type = layout.k.type;
  params.v_type = layout.v.type;
  params.v_head_stride = static_cast<int64_t>(layout.v.head_stride);
  params.v_row_bytes = static_cast<int32_t>(layout.v.row_bytes);
  params.k_scales = static_cast<int64_t>(layout.k.scales);
  params.v_scales = static_cast<int64_t>(layout.v.scales);
  params.page_shift = std::countr_zero(static_cast<uint32_t>(layout.page_tokens));  // which divides kAttentionSplit
  params.head_dim = args.head_dim;
  params.most_heads = plan.geometry.most_heads;
  params.scale_log2 = args.scale * std::numbers::log2e_v<float>;
  params.window = args.window > 0 ? args.window : kNoWindow;
  params.sinks = args.key_window().sinks;
  if (args.q_sinks.data != nullptr) {
    params.q_sinks = args.q_sinks.data;
    params.q_sinks_stride = args.q_sinks.stride;
  }
  if (args.soft_cap > 0) {
    params.soft_cap_log2 = args.soft_cap * std::numbers::log2e_v<float>;
    params.tanh_scale = 2 / args.soft_cap;
  }
  params.partial_out = reinterpret_cast<float*>(partial_out_.data());
  params.partial_lse = reinterpret_cast<float*>(partial_lse_.data());
  return params;
}

void CudaAttention::run(const AttentionArgs& args) {
  check_rows("q", args.q);
  check_rows("out", args.out);
  if (args.q_sinks.data != nullptr) check_rows("q_sinks", args.q_sinks);
  const Plan& plan = plan_for(args);
  AttentionParams params = this->params(args, plan);
  if (plan.choice) plan.choice->run(args, *arrays_, batch_.is_decode());
  start(plan, plan.units, params);
  if (plan.choice) {
    params.chosen_frames = plan.choice->frames();
    start(plan, plan.chosen, params);
  }
  if (plan.joins.empty() && !batch_.is_decode()) return;  // a decode step's graph must serve steps with and without joins
  start_attention_joins(kJoinBlocks * device_.num_multiprocessors(),
                        {arrays_->slot<AttentionJoin>(plan.joins_slot), arrays_->slot<int32_t>(plan.num_joins_slot), params.partial_out, params.partial_lse,
                         plan.geometry.most_heads, args.head_dim, args.out.data, args.out.stride},
                        device_.stream());
}

// A decode step's graph must also serve steps in which more tokens choose, or fewer.
void CudaAttention::start(const Plan& plan, const Units& units, AttentionParams params) {
  const AttentionKind& kind = plan.geometry.kind;
  const bool any_number = plan.choice && batch_.is_decode();
  if (!units.wide.empty() || (any_number && plan.geometry.most_heads > attention_rows(AttentionTile::kNarrow, kind.head_dim))) {
    params.units = arrays_->slot<AttentionUnit>(units.wide_slot);
    params.num_units = arrays_->slot<int32_t>(units.num_wide_slot);
    start_attention(kind, AttentionTile::kWide, plan.blocks_wide, params, device_.stream());
  }
  if (!units.narrow.empty() || any_number) {
    params.units = arrays_->slot<AttentionUnit>(units.narrow_slot);
    params.num_units = arrays_->slot<int32_t>(units.num_narrow_slot);
    start_attention(kind, AttentionTile::kNarrow, plan.blocks_narrow, params, device_.stream());
  }
}

ReadingStats CudaAttention::take_reading() {
  ReadingStats stats;
  for (Plan& plan : plans_) {
    if (plan.choice) stats += plan.choice->take_stats();
  }
  return stats;
}

}  // namespace terrace
