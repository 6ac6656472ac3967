// One attention task, resolved to addresses, and the functions that compute it on each ISA. Called from pool threads;
// plain structs only, since ISA-specific files include this.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/attention_window.h"
#include "kernels/cpu/lanes.h"
#include "kernels/kv_format.h"

namespace terrace {

/// KV heads that a decode row reads in turn at most: more make the runs of memory no longer that matter.
inline constexpr int32_t kHeadsTogether = 4;

/// Query tokens x the query heads of one KV head x keys [kv_begin, kv_end); a query at position p attends keys <= p but
/// those of window.gap(p). Tokens with no key in the range yield nothing.
struct AttentionTile {
  const float* q = nullptr;  // [num_tokens] rows q_stride apart, each [num_heads, head_dim]
  int64_t q_stride = 0;
  const float* q_sinks = nullptr;  // none, or likewise, q_sinks_stride apart: what keys before window.sinks are multiplied with
  int64_t q_sinks_stride = 0;
  int32_t num_tokens = 0;
  int32_t num_heads = 0;  // query heads that share the KV head
  int32_t head_dim = 0;
  float scale = 0;
  float soft_cap = 0;  // 0: none

  int32_t first_position = 0;  // of the first query token; the others follow
  int32_t kv_begin = 0;        // multiple of kAttentionSplit
  int32_t kv_end = 0;          // <= the last query's position + 1
  AttentionWindow window;
  KeyGap gap;  // the first query's: pages inside are not read

  // Page j / page_tokens, at pool + frames[it] * page_stride, holds key j in its row j % page_tokens of head_dim
  // elements; its V rows, v_offset bytes further (other heads' may lie elsewhere); the scales of quantised rows (one
  // float each, or q4_scales() f16) at k_scales and v_scales.
  const std::byte* pool = nullptr;  // with the layer's and the head's offset added
  const uint32_t* frames = nullptr;
  size_t page_stride = 0;
  size_t v_offset = 0;
  size_t k_scales = 0;
  size_t v_scales = 0;
  int32_t page_tokens = 0;
  KvFormat format;

  float* out = nullptr;  // token t, head h: out + t * out_stride + h * head_dim
  int64_t out_stride = 0;
  float* lse = nullptr;  // none, or token t, head h: lse[t * lse_stride + h]
  int64_t lse_stride = 0;
  float* scratch = nullptr;  // attention_scratch_floats()
};

/// At most kHeadsTogether tiles of the same tokens and keys, whose KV heads lie side by side in the pages.
struct TileGroup {
  const AttentionTile* tiles = nullptr;
  int32_t count = 0;
};

/// Partials of one token and KV head, joined from left to right.
struct PartialMerge {
  const float* partial = nullptr;  // piece i: partial + i * partial_stride, [num_heads, head_dim]
  int64_t partial_stride = 0;      // floats
  const float* lse = nullptr;      // piece i: lse + i * lse_stride, [num_heads]
  int64_t lse_stride = 0;
  int32_t num_pieces = 0;
  int32_t sink_pieces = 0;  // after these, `hole` partials are passed over
  int32_t hole = 0;
  int32_t num_heads = 0;
  int32_t head_dim = 0;
  float* out = nullptr;  // [num_heads, head_dim]
};

/// The query heads of one KV head over the summaries of some pages.
struct PageBounds {
  const float* halves = nullptr;  // [num_heads, 2, dims]: what is above zero of the scaled query, then what is below
  int32_t num_heads = 0;
  int32_t dims = 0;  // PageLayout::summary_dims()
  const std::byte* pool = nullptr;  // with the summary's offset added
  const uint32_t* frames = nullptr;
  size_t page_stride = 0;
  int32_t num_pages = 0;
  float slack = 0;  // share of the magnitudes' sum that is added
  float* out = nullptr;  // head h, page i: out[h * out_stride + i]
  int64_t out_stride = 0;
};

/// Scratch of one tile: queries, outputs of a piece, outputs so far, scores, some keys or values as floats; rows =
/// tokens x heads.
size_t attention_scratch_floats(int32_t rows, int32_t head_dim);

struct AttentionKernels {
  /// Computes `now`. `next` may be empty: tiles that this thread will likely be given afterwards, whose first pages are
  /// fetched in time.
  void (*tiles)(const TileGroup& now, const TileGroup& next);
  void (*merge)(const PartialMerge& merge);
  void (*bounds)(const PageBounds& of);
  /// scores = exp(scores - offset); infinity from 88.3 on, 0 below -86.6.
  void (*masses)(float* scores, int32_t count, float offset);
  int32_t tile_rows = 192;  // of a tile at most: its queries, outputs and scores stay in L2, the keys at work in L1
};

extern const AttentionKernels kScalarAttention;
extern const AttentionKernels kAvx2Attention;
extern const AttentionKernels kAvx512Attention;
extern const AttentionKernels kBf16Attention;  // of Numerics::kFast, as the next
extern const AttentionKernels kAmxAttention;

}  // namespace terrace
