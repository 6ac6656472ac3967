#include "kernels/cuda/cuda_page_choice.h"

#include <algorithm>
#include <utility>

namespace terrace {
namespace {

// At a time, in each pass, but for a query that has more alone: 16 MiB. The simulator's steps are small.
#ifdef TERRACE_CUDASIM
constexpr int64_t kMostBounds = 128;
#else
constexpr int64_t kMostBounds = int64_t{1} << 22;
#endif
constexpr int kBoundBlocks = 8;                    // on a multiprocessor
constexpr int kPickBlocks = 4;

}  // namespace

CudaPageChoice::CudaPageChoice(CudaDevice& device, const SparseReading& sparse, int32_t page_tokens, std::span<const int32_t> head_begin)
    : device_(device), sparse_(sparse), page_tokens_(page_tokens), head_begin_(head_begin.begin(), head_begin.end()) {}

bool CudaPageChoice::begin_step(const StepBatch& batch) {
  end_step();
  const auto num_kv_heads = static_cast<int32_t>(head_begin_.size()) - 1;
  runs_.find(batch, sparse_, page_tokens_, num_kv_heads);
  const std::span<const SparseQuery> queries = runs_.queries();
  step_stats_ = runs_.stats();
  step_stats_.pages_read += static_cast<int64_t>(queries.size()) * num_kv_heads * (sparse_.always() + sparse_.pages);

  int64_t most_bounds = 0;
  passes_.assign(1, 0);
  for (size_t begin = 0; begin < queries.size();) {
    int64_t count = 0;
    begin = runs_.place_bounds(begin, head_begin_.back(), kMostBounds, count);
    most_bounds = std::max(most_bounds, count);
    passes_.push_back(static_cast<int32_t>(begin));
  }
  const auto num_passes = static_cast<int32_t>(passes_.size()) - 1;
  const bool more_passes = batch.is_decode() && num_passes > most_passes_;
  if (more_passes) most_passes_ = num_passes;
  passes_.resize(std::max(passes_.size(), static_cast<size_t>(most_passes_) + 1), passes_.back());  // passes of no query
  most_parts_ = 0;
  for (const SparseQuery& query : queries) most_parts_ = std::max(most_parts_, (query.num_candidates(sparse_) + kPartPages - 1) / kPartPages);
  const bool new_bounds = reserve(bounds_, static_cast<size_t>(most_bounds) * sizeof(float));
  const bool new_frames = reserve(chosen_, static_cast<size_t>(runs_.num_frames()) * sizeof(uint32_t));
  return more_passes || new_bounds || new_frames;
}

bool CudaPageChoice::reserve(Buffer& buffer, size_t bytes) {
  if (bytes <= buffer.bytes()) return false;
  const size_t room = std::max(bytes, std::min(2 * bytes, static_cast<size_t>(kMostBounds) * sizeof(float)));  // to grow
  device_.synchronize();  // kernels that use the old memory
  buffer = Buffer();
  buffer = device_.allocate(room);
  return true;
}

void CudaPageChoice::add_lists(StepArrays& arrays) {
  queries_slot_ = arrays.add(runs_.queries());
  passes_slot_ = arrays.add(std::span<const int32_t>(passes_));
  most_parts_slot_ = arrays.add(most_parts_);
  heads_slot_ = arrays.add(std::span<const int32_t>(head_begin_));
}

void CudaPageChoice::run(const AttentionArgs& args, const StepArrays& arrays, bool is_decode) {
  ++layers_now_;
  const int32_t num_passes = is_decode ? most_passes_ : runs_.queries().empty() ? 0 : static_cast<int32_t>(passes_.size()) - 1;
  const PageLayout& layout = args.kv->layout;
  PageChoiceParams params = {};
  params.q = args.q.data;
  params.q_stride = args.q.stride;
  params.head_dim = args.head_dim;
  params.scale = args.scale;
  params.soft_cap = args.soft_cap;
  params.queries = arrays.slot<SparseQuery>(queries_slot_);
  params.passes = arrays.slot<int32_t>(passes_slot_);
  params.most_parts = arrays.slot<int32_t>(most_parts_slot_);
  params.head_begin = arrays.slot<int32_t>(heads_slot_);
  params.num_kv_heads = args.num_kv_heads;
  params.frames = arrays.slot<uint32_t>(StepArrays::frames(args.place.group));
  params.summaries = args.kv->base + layout.summary_offset(args.place.layer, 0);
  params.host_summaries = params.summaries;
  params.num_frames = UINT32_MAX;
  if (args.kv->host != nullptr) {
    params.num_frames = args.kv->num_frames;
    params.host_summaries = args.kv->host - params.num_frames * layout.page_stride + layout.summary_offset(args.place.layer, 0);
  }
  params.page_stride = static_cast<int64_t>(layout.page_stride);
  params.summary_bytes = static_cast<int64_t>(layout.summary_bytes);
  params.summary_dims = layout.summary_dims();
  params.sink_pages = sparse_.sink_pages;
  params.pages = sparse_.pages;
  params.recent_pages = sparse_.recent_pages;
  params.bounds = reinterpret_cast<float*>(bounds_.data());
  params.chosen = reinterpret_cast<uint32_t*>(chosen_.data());
  for (params.pass = 0; params.pass < num_passes; ++params.pass) {
    start_page_bounds(kBoundBlocks * device_.num_multiprocessors(), params, device_.stream());
    start_page_picks(kPickBlocks * device_.num_multiprocessors(), params, device_.stream());
  }
}

void CudaPageChoice::end_step() {
  if (layers_now_ > 0) layers_ = std::exchange(layers_now_, 0);
  stats_.pages_read += layers_ * step_stats_.pages_read;
  stats_.pages_seen += layers_ * step_stats_.pages_seen;
  step_stats_ = {};
}

ReadingStats CudaPageChoice::take_stats() {
  end_step();
  return std::exchange(stats_, {});
}

}  // namespace terrace
