#include "kernels/cpu/page_choice.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cmath>
#include <limits>
#include <utility>

namespace terrace {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr int32_t kPartPages = 128;                // whose bounds one thread finds at a time
constexpr int64_t kMostBounds = int64_t{1} << 22;  // at a time; more queries than these are of wait

/// Not below what a score of at most `bound` is once it is capped: cap tanh(bound / cap), since tanh x >= x / (1 + x) for x >= 0.
float capped(float bound, float cap) { return bound > 0 ? std::min(bound, cap) : bound / (1 - bound / cap); }

}  // namespace

ReadingStats PageChoice::take_stats() { return std::exchange(stats_, {}); }

bool PageChoice::choose(const AttentionArgs& args, const StepBatch& batch, const QueryHeads& heads) {
  if (args.sparse.mode == SparseReading::Mode::kOff) return false;
  num_kv_heads_ = args.num_kv_heads;
  step_frames_ = batch.frames_of(args.place.group).data();
  runs_.find(batch, args.sparse, args.kv->layout.page_tokens, num_kv_heads_);
  stats_ += runs_.stats();
  if (runs_.queries().empty()) return false;
  frames_.resize(std::max(frames_.size(), static_cast<size_t>(runs_.num_frames())));
  shares_.assign(runs_.runs().size(), 0);
  const Layer layer = {args, heads};
  const auto num_heads = static_cast<size_t>(num_kv_heads_);
  for (size_t begin = 0; begin < runs_.queries().size();) {
    const size_t end = place_bounds(begin, args);
    for_each(parts_.size(), [&](size_t i, Scratch& scratch) { find_bounds(layer, parts_[i], scratch); });
    for_each((end - begin) * num_heads, [&](size_t i, Scratch& scratch) { pick(layer, begin * num_heads + i, scratch); });
    begin = end;
  }
  for (const AttentionRun& run : std::as_const(runs_).runs()) stats_.pages_read += (run.first_position + args.kv->layout.page_tokens) / args.kv->layout.page_tokens;
  for (const float share : shares_) stats_.left_out = std::max(stats_.left_out, share);
  return true;
}

/// Room for the bounds of as many queries as there may be at a time, and the parts that find them. Returns the first query that must wait.
size_t PageChoice::place_bounds(size_t begin, const AttentionArgs& args) {
  int64_t num_bounds = 0;
  const size_t end = runs_.place_bounds(begin, args.num_q_heads, kMostBounds, num_bounds);
  parts_.clear();
  for (size_t query = begin; query < end; ++query) {
    const int32_t num_candidates = runs_.queries()[query].num_candidates(args.sparse);
    for (int32_t first = 0; first < num_candidates; first += kPartPages) {
      for (int32_t head = 0; head < num_kv_heads_; ++head) parts_.push_back({static_cast<int32_t>(query), head, first, std::min(kPartPages, num_candidates - first)});
    }
  }
  bounds_.resize(std::max(bounds_.size(), static_cast<size_t>(num_bounds)));
  return end;
}

void PageChoice::find_bounds(const Layer& layer, const Part& part, Scratch& scratch) {
  const AttentionArgs& args = layer.args;
  const PageLayout& layout = args.kv->layout;
  const SparseQuery& query = runs_.queries()[static_cast<size_t>(part.query)];
  const int32_t first_head = layer.heads.first(part.kv_head);
  PageBounds of;
  of.num_heads = layer.heads.count(part.kv_head);
  of.dims = layout.summary_dims();
  scratch.halves.assign(static_cast<size_t>(2 * of.num_heads * of.dims), 0.0f);
  for (int32_t head = 0; head < of.num_heads; ++head) {
    const float* q = args.q.row(query.token) + (first_head + head) * args.head_dim;
    float* above = scratch.halves.data() + 2 * head * of.dims;
    for (int32_t d = 0; d < args.head_dim; ++d) {
      above[d] = std::max(q[d] * args.scale, 0.0f);
      above[of.dims + d] = std::min(q[d] * args.scale, 0.0f);
    }
  }
  of.halves = scratch.halves.data();
  of.pool = args.kv->base + layout.summary_offset(args.place.layer, part.kv_head);
  of.frames = frames_of(query) + args.sparse.sink_pages + part.first;
  of.page_stride = layout.page_stride;
  of.num_pages = part.count;
  of.slack = args.sparse.mode == SparseReading::Mode::kBounded ? static_cast<float>(args.head_dim) * 0x1p-24f : 0.0f;
  of.out_stride = query.num_candidates(args.sparse);
  of.out = bounds_.data() + query.bounds + first_head * of.out_stride + part.first;
  kernels_.bounds(of);
  for (int32_t head = 0; head < of.num_heads; ++head) {
    float* bounds = of.out + head * of.out_stride;
    for (int32_t i = 0; i < part.count; ++i) {
      if (!(bounds[i] < kInfinity)) bounds[i] = kInfinity;  // a key is beyond f16: infinity, or NaN where the query is 0
      if (args.soft_cap > 0) bounds[i] = capped(bounds[i], args.soft_cap);
    }
  }
}

void PageChoice::pick(const Layer& layer, size_t index, Scratch& scratch) {
  const SparseReading& sparse = layer.args.sparse;
  const SparseQuery& query = runs_.queries()[index / static_cast<size_t>(num_kv_heads_)];
  const auto kv_head = static_cast<int32_t>(index % static_cast<size_t>(num_kv_heads_));
  AttentionRun& run = runs_.runs()[index];
  pick_top(layer, query, kv_head, scratch);
  if (sparse.mode == SparseReading::Mode::kBounded) shares_[index] = pick_unbounded(layer, query, kv_head, scratch);
  const int32_t num_pages = list_frames(sparse, query, scratch.chosen, frames_.data() + run.first_page);
  run.first_position = query.position - (query.num_pages - num_pages) * layer.args.kv->layout.page_tokens;
}

/// Marks the candidates of the largest bounds; of equal ones, the first.
void PageChoice::pick_top(const Layer& layer, const SparseQuery& query, int32_t kv_head, Scratch& scratch) const {
  const auto count = static_cast<size_t>(query.num_candidates(layer.args.sparse));
  scratch.values.assign(count, -kInfinity);
  const float* bounds = bounds_.data() + query.bounds + layer.heads.first(kv_head) * static_cast<int64_t>(count);
  for (int32_t head = 0; head < layer.heads.count(kv_head); ++head, bounds += count) {
    float largest = std::numeric_limits<float>::lowest();
    for (size_t i = 0; i < count; ++i) largest = bounds[i] < kInfinity && bounds[i] > largest ? bounds[i] : largest;
    for (size_t i = 0; i < count; ++i) scratch.values[i] = std::max(scratch.values[i], bounds[i] - largest);
  }
  scratch.sorted = scratch.values;
  const auto last = scratch.sorted.begin() + layer.args.sparse.pages - 1;
  std::nth_element(scratch.sorted.begin(), last, scratch.sorted.end(), std::greater<>());
  const float least = *last;
  auto equal_ones = layer.args.sparse.pages - std::count_if(scratch.sorted.begin(), last, [least](float value) { return value > least; });
  scratch.chosen.resize(count);
  for (size_t i = 0; i < count; ++i) scratch.chosen[i] = scratch.values[i] > least || (scratch.values[i] == least && equal_ones-- > 0);
}

/// Marks the candidates, beside those that are, without which too little would be proven. Returns the share of the softmax that the others hold at most.
float PageChoice::pick_unbounded(const Layer& layer, const SparseQuery& query, int32_t kv_head, Scratch& scratch) const {
  attend_chosen(layer, query, kv_head, scratch);
  const auto count = static_cast<size_t>(query.num_candidates(layer.args.sparse));
  std::ranges::fill(scratch.values, 0.0f);  // from here on: the most that a page holds of any head's L
  const float* bounds = bounds_.data() + query.bounds + layer.heads.first(kv_head) * static_cast<int64_t>(count);
  for (int32_t head = 0; head < layer.heads.count(kv_head); ++head, bounds += count) {
    scratch.masses.assign(bounds, bounds + count);
    kernels_.masses(scratch.masses.data(), static_cast<int32_t>(count), scratch.lse[static_cast<size_t>(head)]);
    for (size_t i = 0; i < count; ++i) scratch.values[i] = std::max(scratch.values[i], scratch.masses[i]);
  }
  for (float& value : scratch.values) value *= static_cast<float>(layer.args.kv->layout.page_tokens) * (1 + 0x1p-12f);
  return left_out(layer.args.sparse, scratch);
}

/// The smallest masses first, a fourth of an octave at a time, as long as all that is left out stays within epsilon.
float PageChoice::left_out(const SparseReading& sparse, Scratch& scratch) const {
  const auto step_of = [&](size_t i) { return std::bit_cast<uint32_t>(scratch.values[i]) >> 21; };  // of positive floats: exponent and two bits more
  std::array<double, 1024> sums = {};
  for (size_t i = 0; i < scratch.values.size(); ++i) {
    if (scratch.chosen[i] == 0) sums[step_of(i)] += scratch.values[i];
  }
  double sum = 0;
  uint32_t step = 0;
  while (step < sums.size() && sum + sums[step] <= sparse.epsilon) sum += sums[step++];
  for (size_t i = 0; i < scratch.values.size(); ++i) {
    if (step_of(i) >= step) scratch.chosen[i] = 1;
  }
  return static_cast<float>(sum / (1 + sum));
}

/// The log-sum-exp of each query head over the pages that are read so far.
void PageChoice::attend_chosen(const Layer& layer, const SparseQuery& query, int32_t kv_head, Scratch& scratch) const {
  const AttentionArgs& args = layer.args;
  const auto num_heads = static_cast<size_t>(layer.heads.count(kv_head));
  const size_t scratch_floats = attention_scratch_floats(layer.heads.count(kv_head), args.head_dim);
  scratch.frames.resize(static_cast<size_t>(query.num_pages));
  scratch.lse.resize(num_heads);
  scratch.attention.resize(scratch_floats + num_heads * static_cast<size_t>(args.head_dim));
  const int32_t num_pages = list_frames(args.sparse, query, scratch.chosen, scratch.frames.data());
  AttentionTile tile = layer.heads.tile(args, query.token, kv_head, scratch.frames.data());
  tile.num_tokens = 1;
  tile.first_position = query.position - (query.num_pages - num_pages) * args.kv->layout.page_tokens;
  tile.kv_end = tile.first_position + 1;
  tile.scratch = scratch.attention.data();
  tile.out = scratch.attention.data() + scratch_floats;
  tile.lse = scratch.lse.data();
  kernels_.tiles({&tile, 1}, {});
}

/// The pages that are read, in order of position. Returns how many.
int32_t PageChoice::list_frames(const SparseReading& sparse, const SparseQuery& query, const std::vector<uint8_t>& chosen, uint32_t* to) const {
  uint32_t* next = std::copy_n(frames_of(query), sparse.sink_pages, to);
  const uint32_t* candidate = frames_of(query) + sparse.sink_pages;
  for (size_t i = 0; i < chosen.size(); ++i) {
    if (chosen[i] != 0) *next++ = candidate[i];
  }
  next = std::copy_n(frames_of(query) + query.num_pages - sparse.recent_pages, sparse.recent_pages, next);
  return static_cast<int32_t>(next - to);
}

void PageChoice::for_each(size_t count, FunctionRef<void(size_t, Scratch&)> use) {
  scratch_.resize(static_cast<size_t>(pool_.num_threads()));
  std::atomic<size_t> next = 0;
  pool_.run([&](int thread) {
    for (size_t i = next.fetch_add(1); i < count; i = next.fetch_add(1)) use(i, scratch_[static_cast<size_t>(thread)]);
  });
}

}  // namespace terrace
