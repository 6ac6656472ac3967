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
  return geometry;
}

void CudaAttention::set_geometry(Geometry geometry) {
  if (geometry.kind != geometry_.kind) {
    prepare_attention(geometry.kind);
    const auto blocks = [&](AttentionTile tile) { return device_.num_multiprocessors() * attention_blocks_per_multiprocessor(geometry.kind, tile, device_.properties()); };
    blocks_narrow_ = blocks(AttentionTile::kNarrow);
    blocks_wide_ = blocks(AttentionTile::kWide);
  }
  geometry_ = std::move(geometry);
  ++generation_;
}

void CudaAttention::begin_step(const StepBatch& batch, StepArrays& arrays) {
  batch_ = batch;
  arrays_ = &arrays;
  planned_ = false;
  if (geometry_.kind.head_dim == 0) return;
  plan();
  add_lists();
}

void CudaAttention::plan() {
  narrow_.clear();
  wide_.clear();
  joins_.clear();
  const bool narrow = batch_.is_decode() && geometry_.most_heads <= attention_rows(AttentionTile::kNarrow, geometry_.kind.head_dim);
  const int num_workers = narrow ? blocks_narrow_ : blocks_wide_;
  const int32_t tile_tokens = std::max(1, attention_rows(AttentionTile::kWide, geometry_.kind.head_dim) / geometry_.most_heads);
  const AttentionPlan plan = plan_attention(batch_.runs, {geometry_.num_kv_heads, num_workers, tile_tokens, 1});
  for (const AttentionTask& task : plan.tasks) {
    for (int32_t i = 0; i < task.num_kv_heads; ++i) add_units(task, task.kv_head + i, task.partial < 0 ? -1 : task.partial + i);
  }
  for (const AttentionMerge& merge : plan.merges) {
    const int32_t first_head = geometry_.head_begin[static_cast<size_t>(merge.kv_head)];
    const int32_t heads = geometry_.head_begin[static_cast<size_t>(merge.kv_head) + 1] - first_head;
    joins_.push_back({merge.token, merge.partial_begin, merge.partial_stride, merge.num_pieces, heads, first_head});
  }
  reserve_partials(plan.num_partials);
  planned_ = true;
}

/// The rows of a task, in tiles.
void CudaAttention::add_units(const AttentionTask& task, int32_t kv_head, int32_t partial) {
  const AttentionRun& run = batch_.runs[static_cast<size_t>(task.run)];
  const int32_t first_head = geometry_.head_begin[static_cast<size_t>(kv_head)];
  const int32_t heads = geometry_.head_begin[static_cast<size_t>(kv_head) + 1] - first_head;
  const int32_t num_rows = heads * task.num_tokens;
  AttentionUnit unit = {};
  unit.first_token = task.first_token;
  unit.first_position = run.first_position + task.first_token - run.first_token;
  unit.first_page = run.first_page;
  unit.kv_head = kv_head;
  unit.kv_begin = task.kv_begin;
  unit.kv_end = task.kv_end;
  unit.partial = partial;
  unit.heads = heads;
  unit.first_head = first_head;
  const int32_t wide_rows = attention_rows(AttentionTile::kWide, geometry_.kind.head_dim);
  const int32_t narrow_rows = attention_rows(AttentionTile::kNarrow, geometry_.kind.head_dim);
  for (; unit.first_row < num_rows; unit.first_row += wide_rows) {
    unit.num_rows = std::min(wide_rows, num_rows - unit.first_row);
    (unit.num_rows <= narrow_rows ? narrow_ : wide_).push_back(unit);
  }
}

void CudaAttention::add_lists() {
  slots_.narrow = arrays_->add(std::span<const AttentionUnit>(narrow_));
  slots_.num_narrow = arrays_->add(static_cast<int32_t>(narrow_.size()));
  slots_.wide = arrays_->add(std::span<const AttentionUnit>(wide_));
  slots_.num_wide = arrays_->add(static_cast<int32_t>(wide_.size()));
  slots_.joins = arrays_->add(std::span<const AttentionJoin>(joins_));
  slots_.num_joins = arrays_->add(static_cast<int32_t>(joins_.size()));
}

void CudaAttention::reserve_partials(int32_t num_partials) {
  const size_t rows = static_cast<size_t>(std::max(num_partials, kFirstPartials)) * static_cast<size_t>(geometry_.most_heads);
  const size_t out_bytes = rows * static_cast<size_t>(geometry_.kind.head_dim) * sizeof(float);
  if (rows * sizeof(float) <= partial_lse_.bytes() && out_bytes <= partial_out_.bytes()) return;
  const size_t factor = num_partials > kFirstPartials ? 2 : 1;  // room to grow
  device_.synchronize();                                        // kernels that use the old memory
  partial_out_ = Buffer();
  partial_lse_ = Buffer();
  partial_out_ = device_.allocate(factor * out_bytes);
  partial_lse_ = device_.allocate(factor * rows * sizeof(float));
  ++generation_;
}

AttentionParams CudaAttention::params(const AttentionArgs& args) const {
  const PageLayout& layout = args.kv->layout;
  AttentionParams params = {};
  params.q = args.q.data;
  params.q_stride = args.q.stride;
  params.out = args.out.data;
  params.out_stride = args.out.stride;
  params.frames = arrays_->slot<uint32_t>(StepArrays::kFrames);
  params.kv = args.kv->base + layout.row_offset(layout.k, args.layer, 0, 0);
  params.num_frames = kAllFrames;
  if (args.kv->host != nullptr) {
    params.num_frames = args.kv->num_frames;
    params.host_kv = args.kv->host - params.num_frames * layout.page_stride + layout.row_offset(layout.k, args.layer, 0, 0);
  }
  params.page_stride = static_cast<int64_t>(layout.page_stride);
  params.head_stride = static_cast<int64_t>(layout.k.head_stride);
  params.v_offset = static_cast<int64_t>(layout.v.offset);
  params.row_bytes = static_cast<int32_t>(layout.k.row_bytes);
  params.page_shift = std::countr_zero(static_cast<uint32_t>(layout.page_tokens));  // which divides kAttentionSplit
  params.head_dim = args.head_dim;
  params.most_heads = geometry_.most_heads;
  params.scale_log2 = args.scale * std::numbers::log2e_v<float>;
  params.partial_out = reinterpret_cast<float*>(partial_out_.data());
  params.partial_lse = reinterpret_cast<float*>(partial_lse_.data());
  return params;
}

void CudaAttention::run(const AttentionArgs& args) {
  check_rows("q", args.q);
  check_rows("out", args.out);
  if (args.window > 0 || args.soft_cap > 0) {
    throw Error(ErrorCode::kInvalidValue, "attention on a CUDA device has no sliding windows, sinks or soft caps yet: say backend: cpu");
  }
  Geometry geometry = geometry_of(args);
  if (!planned_ || geometry != geometry_) {
    set_geometry(std::move(geometry));
    plan();
    add_lists();
    arrays_->upload();
  }
  AttentionParams params = this->params(args);
  const auto start = [&](AttentionTile tile, const std::vector<AttentionUnit>& units, int slot, int num_slot, int blocks) {
    if (units.empty()) return;
    params.units = arrays_->slot<AttentionUnit>(slot);
    params.num_units = arrays_->slot<int32_t>(num_slot);
    start_attention(geometry_.kind, tile, blocks, params, device_.stream());
  };
  start(AttentionTile::kWide, wide_, slots_.wide, slots_.num_wide, blocks_wide_);
  start(AttentionTile::kNarrow, narrow_, slots_.narrow, slots_.num_narrow, blocks_narrow_);
  if (joins_.empty() && !batch_.is_decode()) return;  // a decode step's graph must serve steps with and without joins
  start_attention_joins(kJoinBlocks * device_.num_multiprocessors(),
                        {arrays_->slot<AttentionJoin>(slots_.joins), arrays_->slot<int32_t>(slots_.num_joins), params.partial_out, params.partial_lse,
                         geometry_.most_heads, args.head_dim, args.out.data, args.out.stride},
                        device_.stream());
}

}  // namespace terrace
