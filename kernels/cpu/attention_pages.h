// Where the rows of a tile's K and V lie, block by block and piece by piece, and in what order they are read.
#pragma once

#include <type_traits>

#include "kernels/attention_split.h"
#include "kernels/cpu/attention_codes.h"
#include "kernels/cpu/attention_tile.h"

namespace terrace {
namespace {

template <class Element>
const Element* page_rows(const AttentionTile& tile, int32_t page, size_t offset) {
  return reinterpret_cast<const Element*>(tile.pool + tile.frames[page] * tile.page_stride + offset);
}

/// The piece after this one in which a key may be seen.
inline int32_t next_piece(const AttentionTile& tile, int32_t piece) {
  return tile.gap.skip(piece + kAttentionSplit, kAttentionSplit);
}

inline int32_t keys_in_piece(const AttentionTile& tile, int32_t piece) {
  return tile.kv_end - piece < kAttentionSplit ? tile.kv_end - piece : kAttentionSplit;
}

/// Whether pages hold whole blocks packed as products take them.
template <class Element>
bool is_packed(const AttentionTile& t) {
  return std::is_same_v<Element, I16> && t.page_tokens >= kBlockKeys;
}

/// Elements from one stored row to the next.
template <class Element>
int32_t row_elements(const AttentionTile& t) {
  return std::is_same_v<Element, I16> ? padded_dims(t.head_dim) : t.head_dim;
}

/// Where the tile's K or V and their scales lie, from a page's K.
struct RowPlace {
  size_t rows, scales;
};

/// The rows of the block that begins at position `key`. Where it is several pages, others stand in for those that no query sees, whose pages may be lost.
template <class Element>
void find_rows(const AttentionTile& t, int32_t key, RowPlace place, BlockRows<Element>& block) {
  const int32_t stride = row_elements<Element>(t);
  if (t.page_tokens >= kBlockKeys) {
    const Element* rows = page_rows<Element>(t, key / t.page_tokens, place.rows) + key % t.page_tokens * stride;
    const float* scales = page_rows<float>(t, key / t.page_tokens, place.scales) + key % t.page_tokens;
    for (int32_t i = 0; i < kBlockKeys; ++i) {
      block.row[i] = rows + i * stride;
      if constexpr (kHasScale<Element>) block.scale[i] = scales[i];
    }
    return;
  }
  for (int32_t i = 0; i < kBlockKeys; ++i) {
    int32_t position = key + i < t.kv_end ? key + i : t.kv_end - 1;
    if (position >= t.gap.begin && position < t.gap.end)
      position = t.gap.end < t.kv_end && t.gap.end < key + kBlockKeys ? t.gap.end : t.gap.begin - 1;
    const int32_t page = position / t.page_tokens, token = position % t.page_tokens;
    block.row[i] = page_rows<Element>(t, page, place.rows) + token * stride;
    if constexpr (kHasScale<Element>) block.scale[i] = page_rows<float>(t, page, place.scales)[token];
  }
}

/// The codes of a packed block, and its keys' scales.
struct PackedBlock {
  const int32_t* codes = nullptr;
  const float* scale = nullptr;
};

/// Of the block that begins at position `key`, where pages hold it so.
inline PackedBlock find_packed(const AttentionTile& t, int32_t key, RowPlace place) {
  const int32_t page = key / t.page_tokens, token = key % t.page_tokens;
  return {page_rows<int32_t>(t, page, place.rows) + token * padded_dims(t.head_dim) / 2, page_rows<float>(t, page, place.scales) + token};
}

/// Calls use(first key, number of blocks) for the runs of keys [begin, end), multiples of kBlockKeys, without the blocks in the gap.
template <class Function>
void for_each_run(int32_t begin, int32_t end, KeyGap gap, Function use) {
  const int32_t stop = (gap.begin + kBlockKeys - 1) / kBlockKeys * kBlockKeys, resume = gap.end / kBlockKeys * kBlockKeys;
  const bool whole = resume <= stop;
  const int32_t first_end = whole || stop > end ? end : stop, second_begin = resume > begin ? resume : begin;
  if (begin < first_end) use(begin, (first_end - begin) / kBlockKeys);
  if (!whole && second_begin < end) use(second_begin, (end - second_begin) / kBlockKeys);
}

/// Blocks in the order in which they are read, of these tiles and then of those to come. Stays at the last one.
class BlockWalk {
 public:
  BlockWalk(const TileGroup& now, const TileGroup& next) : now_(now), next_(next) { begin(); }

  /// The block's rows of one of the tiles, or of the last where `index` is beyond.
  template <class Element>
  const std::byte* rows(int32_t index, bool values) const {
    const AttentionTile& tile = now_.tiles[index < now_.count ? index : now_.count - 1];
    return reinterpret_cast<const std::byte*>(page_rows<Element>(tile, key_ / tile.page_tokens, values ? tile.v_offset : 0) +
                                              key_ % tile.page_tokens * row_elements<Element>(tile));
  }
  void advance() {
    const int32_t key = now_.tiles->gap.skip(key_ + kBlockKeys, kBlockKeys);
    if (key < now_.tiles->kv_end) {
      key_ = key;
    } else if (next_.count > 0) {
      now_ = next_;
      next_ = {};
      begin();
    }
  }

 private:
  void begin() { key_ = now_.tiles->gap.skip(now_.tiles->kv_begin, kBlockKeys); }

  TileGroup now_, next_;
  int32_t key_ = 0;
};

}  // namespace
}  // namespace terrace
