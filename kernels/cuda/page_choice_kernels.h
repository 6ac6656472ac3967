// The kernels by which tokens choose the pages that they read sparsely, and how host code starts them (cuda_page_choice.cpp).
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

#include "kernels/sparse_runs.h"

namespace terrace {

/// Addresses are device addresses; a slot as in AttentionParams. A pass are queries [(*passes)[pass], (*passes)[pass + 1]), whose bounds there is room for.
struct PageChoiceParams {
  const float* q;  // [num_tokens] rows q_stride apart, [num_q_heads, head_dim]
  int64_t q_stride;
  int32_t head_dim;                   // at most kMostHeadDims
  float scale;                        // multiplies q.k
  float soft_cap;                     // 0: none
  const SparseQuery* const* queries;  // slot
  const int32_t* const* passes;       // slot
  int32_t pass;
  const int32_t* const* most_parts;   // slot of one number: kPartPages candidates at a time of the query that has most
  const int32_t* const* head_begin;   // slot of [num_kv_heads + 1] first query heads
  int32_t num_kv_heads;
  const uint32_t* const* frames;      // slot, of the layer's group
  const std::byte* summaries;         // the pool, with the place in a page of the layer's first summary added
  const std::byte* host_summaries;    // likewise, for frames from num_frames on
  uint32_t num_frames;
  int64_t page_stride;                // bytes
  int64_t summary_bytes;              // of a head
  int32_t summary_dims;
  int32_t sink_pages, pages, recent_pages;
  float* bounds;                      // at each query's place, [num_q_heads, num_candidates]
  uint32_t* chosen;                   // [num_queries, num_kv_heads, sink_pages + pages + recent_pages] frames, in order of position
};

inline constexpr int32_t kPartPages = 64;  // whose bounds a block finds at a time

/// Writes the pass's bounds. Any number of blocks gives the same bits, here and below.
void start_page_bounds(int num_blocks, const PageChoiceParams& params, cudaStream_t stream);
/// Behind it, writes what the pass's queries have chosen: of equal bounds, the first. Spoils the bounds.
void start_page_picks(int num_blocks, const PageChoiceParams& params, cudaStream_t stream);

}  // namespace terrace
