// The rows of a tile's pages (attention_kernel.h): where they lie, their scales, and which piece comes next.
#pragma once

#include "kernels/cpu/attention_rows.h"
#include "kernels/cpu/q4_row.h"

namespace terrace {
namespace {

template <class Element>
const Element* page_rows(const AttentionTile& tile, int32_t page, size_t offset) {
  return reinterpret_cast<const Element*>(tile.pool + tile.frames[page] * tile.page_stride + offset);
}

/// Rows of a page that are packed, from row `first` on, as floats; of the tile's keys or values.
template <class Lanes, class Wide>
void unpack_page_rows(const AttentionTile& tile, int32_t page, int32_t first, int32_t count, bool values, float* to) {
  const auto* codes = page_rows<uint8_t>(tile, page, values ? tile.v_offset : 0);
  const F16* scales = page_rows<F16>(tile, page, values ? tile.v_scales : tile.k_scales);
  unpack_rows<Lanes, Wide>(codes + first * q4_code_bytes(tile.head_dim), scales + first * q4_scales(tile.head_dim), count, tile.head_dim, to);
}

/// The piece after this one in which a key may be seen.
inline int32_t next_piece(const AttentionTile& tile, int32_t piece) {
  return tile.gap.skip(piece + kAttentionSplit, kAttentionSplit);
}

inline int32_t keys_in_piece(const AttentionTile& tile, int32_t piece) {
  return tile.kv_end - piece < kAttentionSplit ? tile.kv_end - piece : kAttentionSplit;
}

/// scales[j] = the scale of the piece's key j (`offset` as in the tile), zero for keys that are not there.
inline void load_scales(const AttentionTile& tile, int32_t piece, size_t offset, float (&scales)[kAttentionSplit]) {
  for (float& scale : scales) scale = 0.0f;
  const int32_t page_tokens = tile.page_tokens;
  const int32_t end = piece + keys_in_piece(tile, piece);
  for (int32_t key = tile.gap.skip(piece, page_tokens); key < end; key = tile.gap.skip(key + page_tokens, page_tokens)) {
    const float* from = page_rows<float>(tile, key / page_tokens, offset);
    for (int32_t i = 0; i < page_tokens && key + i < end; ++i) scales[key - piece + i] = from[i];
  }
}

/// The scores or weights of rows with scales, multiplied by these.
template <class Element, class Lanes, class Wide>
void apply_scales(const AttentionTile& tile, int32_t piece, size_t offset, TileRows<Lanes, Wide>& rows) {
  if constexpr (kHasScale<Element>) {
    float scales[kAttentionSplit];
    load_scales(tile, piece, offset, scales);
    rows.multiply(scales);
  }
}

}  // namespace
}  // namespace terrace
