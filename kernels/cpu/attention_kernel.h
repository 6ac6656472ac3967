// Attention over paged K and V, written once for every ISA (lanes.h). The arithmetic of one query row, whatever tile it
// is in:
//   piece = 256 keys from an absolute multiple of 256; s_j = dot(q * scale, k_j) in 8 lanes over head_dim, soft-capped
//   where wanted; m = max s_j; p_j = exp(s_j - m); l = sum of p_j in 8 lanes over j; O = (sum of p_j v_j in order of j,
//   by fma) / l; LSE = m + log l; pieces are merged from left to right. Rows of kQ8: k_j and v_j are their integers;
//   s_j is multiplied by the key's scale before it is capped, and p_j by the value's after l is summed. Rows of kQ4: as
//   the floats that unpack_rows() makes of them.
// Hence equal bits alone or in a batch, in any chunking, fold or stored partials. A position beyond a row's own, or in
// the gap of its window, is never part of its arithmetic (it may hold stale NaN); a page in the gap of all rows is not
// read at all.
//
// Speed: rows (tokens x heads of the group) go through register tiles (attention_blocks.h). Few rows (decode) read K
// and V as they lie in the page, the KV heads in turn, so that memory is read in long runs (attention_direct.h). Many rows
// (prefill) share keys that are transposed to floats once, and values widened once (attention_packed.h); in Numerics::kFast they may
// be pairs of bfloat16 instead (attention_pairs.h), whose bits depend on the tile.
#pragma once

#include "kernels/cpu/attention_direct.h"
#include "kernels/cpu/attention_packed.h"
#include "kernels/cpu/page_bounds.h"

namespace terrace {
namespace {

constexpr int32_t kDirectRows = 30;  // up to here, reading 16-bit rows again costs less than widening them

inline bool is_direct(const AttentionTile& tile) {
  return tile.num_tokens * tile.num_heads <= kDirectRows && tile.head_dim % kLanes == 0;
}

/// The tiles of an ISA: few rows by DirectTiles, more by packed K and V.
template <class LanesOf, class WideOf>
struct FloatTiles {
  using Lanes = LanesOf;
  using Wide = WideOf;
  template <class Key, class Value>
  static void run_many(const AttentionTile& tile) {
    PackedTile<TileRows<Lanes, Wide>, FloatPacking<Lanes>, Key, Value>(tile).run();
  }
};

template <class Tiles, class Key, class Value>
void run_tiles_of(const TileGroup& now, const TileGroup& next) {
  bool direct = true;
  for (int32_t h = 0; h < now.count; ++h) direct = direct && is_direct(now.tiles[h]);
  if (direct) return DirectTiles<typename Tiles::Lanes, typename Tiles::Wide, Key, Value>(now, next).run();
  for (int32_t h = 0; h < now.count; ++h) Tiles::template run_many<Key, Value>(now.tiles[h]);
}

template <class Tiles>
void run_tiles(const TileGroup& now, const TileGroup& next) {
  const KvFormat format = now.tiles->format;
  switch (format.k) {
    case KvType::kF32: return run_tiles_of<Tiles, float, float>(now, next);
    case KvType::kF16: return run_tiles_of<Tiles, F16, F16>(now, next);
    case KvType::kBF16: return run_tiles_of<Tiles, BF16, BF16>(now, next);
    case KvType::kQ4: return run_tiles_of<Tiles, Q4, Q4>(now, next);
    case KvType::kF8: return run_tiles_of<Tiles, F8, F8>(now, next);
    case KvType::kQ8: break;
  }
  if (format.v == KvType::kQ8) return run_tiles_of<Tiles, Q8, Q8>(now, next);
  if (format.v == KvType::kQ4) return run_tiles_of<Tiles, Q8, Q4>(now, next);
  run_tiles_of<Tiles, Q8, F16>(now, next);
}

template <class Lanes>
void run_merge(const PartialMerge& merge) {
  for (int32_t head = 0; head < merge.num_heads; ++head) {
    float* out = merge.out + head * merge.head_dim;
    const float* partial = merge.partial + head * merge.head_dim;
    const int32_t first = merge.sink_pieces > 0 ? 0 : merge.hole;
    for (int32_t d = 0; d < merge.head_dim; ++d) out[d] = partial[first * merge.partial_stride + d];
    float lse = merge.lse[first * merge.lse_stride + head];
    for (int32_t i = 1; i < merge.num_pieces; ++i) {
      const int32_t at = i < merge.sink_pieces ? i : i + merge.hole;
      merge_piece<Lanes>(out, lse, partial + at * merge.partial_stride, merge.lse[at * merge.lse_stride + head],
                         merge.head_dim);
    }
  }
}

}  // namespace
}  // namespace terrace
