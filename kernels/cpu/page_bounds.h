// Upper bounds of the scores of whole pages, from their summaries: written once for every ISA (lanes.h), equal bits on each. Included by
// ISA-specific files.
#pragma once

#include "kernels/cpu/attention_blocks.h"
#include "kernels/cpu/attention_tile.h"

namespace terrace {
namespace {

/// Four pages, or the last one several times over, and kHeads query heads. With a slack, each bound is raised by so much of the sum of the magnitudes
/// of what it is the sum of.
template <class Lanes, int kHeads, bool kSlack>
[[gnu::noinline]] void bound_pages(const PageBounds& of, int32_t head, int32_t page) {
  const F16* summary[4];
  for (int c = 0; c < 4; ++c) {
    const int32_t index = page + c < of.num_pages ? page + c : of.num_pages - 1;
    summary[c] = reinterpret_cast<const F16*>(of.pool + of.frames[index] * of.page_stride);
  }
  const int32_t count = 2 * of.dims;
  const float* query = of.halves + head * count;
  Lanes sum[kHeads][4], size[kHeads][4];
#pragma GCC unroll 8
  for (int h = 0; h < kHeads; ++h) {
#pragma GCC unroll 8
    for (int c = 0; c < 4; ++c) sum[h][c] = size[h][c] = Lanes::zero();
  }
  for (int32_t d = 0; d < count; d += kLanes) {
    Lanes q[kHeads];
#pragma GCC unroll 8
    for (int h = 0; h < kHeads; ++h) q[h] = Lanes::load(query + h * count + d);
#pragma GCC unroll 8
    for (int c = 0; c < 4; ++c) {
      const Lanes key = Lanes::load(summary[c] + d);
#pragma GCC unroll 8
      for (int h = 0; h < kHeads; ++h) {
        sum[h][c] = Lanes::fma(q[h], key, sum[h][c]);
        if constexpr (kSlack) {
          const Lanes product = q[h] * key;
          size[h][c] = size[h][c] + Lanes::max(product, Lanes::zero() - product);
        }
      }
    }
  }
  const int32_t num_pages = of.num_pages - page < 4 ? of.num_pages - page : 4;
#pragma GCC unroll 8
  for (int h = 0; h < kHeads; ++h) {
    float bounds[4], sizes[4];
    Lanes::sum4(sum[h][0], sum[h][1], sum[h][2], sum[h][3], bounds);
    if constexpr (kSlack) Lanes::sum4(size[h][0], size[h][1], size[h][2], size[h][3], sizes);
    float* out = of.out + (head + h) * of.out_stride + page;
    for (int32_t c = 0; c < num_pages; ++c) out[c] = kSlack ? __builtin_fmaf(of.slack, sizes[c], bounds[c]) : bounds[c];
  }
}

template <class Lanes>
void run_bounds(const PageBounds& of) {
  constexpr int32_t kPagesAhead = 12;  // their summaries lie far apart, where nothing but this fetches them in time
  const size_t bytes = 2 * static_cast<size_t>(of.dims) * sizeof(F16);
  for (int32_t page = 0; page < of.num_pages; page += 4) {
    for (int32_t i = page + kPagesAhead; i < page + kPagesAhead + 4 && i < of.num_pages; ++i) fetch(of.pool + of.frames[i] * of.page_stride, bytes);
    int32_t head = 0;
    if (of.slack > 0) {
      for (; head < of.num_heads; ++head) bound_pages<Lanes, 1, true>(of, head, page);
    }
    for (; head + 3 <= of.num_heads; head += 3) bound_pages<Lanes, 3, false>(of, head, page);
    for (; head < of.num_heads; ++head) bound_pages<Lanes, 1, false>(of, head, page);
  }
}

template <class Lanes>
void run_masses(float* scores, int32_t count, float offset) {
  const Lanes from = Lanes::broadcast(offset);
  int32_t i = 0;
  for (; i + kLanes <= count; i += kLanes) exp(Lanes::load(scores + i) - from).store(scores + i);
  for (; i < count; ++i) scores[i] = exp(Lanes::broadcast(scores[i] - offset)).first();
}

}  // namespace
}  // namespace terrace
