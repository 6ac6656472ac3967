// Attention tiles of few rows (attention_kernel.h), which read K and V as they lie in the pages.
#pragma once

#include "kernels/cpu/attention_pages.h"

namespace terrace {
namespace {

/// The order in which pages are read: all K of a piece, all V, the next piece; then the tiles to come. Stays at the
/// last page.
class PageWalk {
 public:
  PageWalk(const TileGroup& now, const TileGroup& next) : now_(now), next_(next) { begin(); }

  /// The page of one of the tiles, or of the last where `index` is beyond.
  template <class Element>
  const Element* rows(int32_t index) const {
    const AttentionTile& tile = this->tile(index);
    return page_rows<Element>(tile, key_ / tile.page_tokens, values_ ? tile.v_offset : 0);
  }
  /// The scales of its rows.
  const F16* scales(int32_t index) const {
    const AttentionTile& tile = this->tile(index);
    return page_rows<F16>(tile, key_ / tile.page_tokens, values_ ? tile.v_scales : tile.k_scales);
  }
  void advance() {
    const AttentionTile& tile = *now_.tiles;
    const int32_t piece = key_ / kAttentionSplit * kAttentionSplit;
    const int32_t key = tile.gap.skip(key_ + tile.page_tokens, tile.page_tokens);
    if (key < piece + keys_in_piece(tile, piece)) {
      key_ = key;
    } else if (!values_) {
      key_ = tile.gap.skip(piece, tile.page_tokens);
      values_ = true;
    } else if (key < tile.kv_end) {
      key_ = key;
      values_ = false;
    } else if (next_.count > 0) {
      now_ = next_;
      next_ = {};
      begin();
      values_ = false;
    }
  }

 private:
  const AttentionTile& tile(int32_t index) const { return now_.tiles[index < now_.count ? index : now_.count - 1]; }
  void begin() { key_ = now_.tiles->gap.skip(now_.tiles->kv_begin, now_.tiles->page_tokens); }

  TileGroup now_, next_;
  int32_t key_ = 0;
  bool values_ = false;
};

/// Tiles of the same token and keys, of KV heads that are neighbours in the pages; few rows each.
template <class Lanes, class Wide, class Key, class Value>
class DirectTiles {
 public:
  DirectTiles(const TileGroup& now, const TileGroup& next) : tiles_(now.tiles), count_(now.count), ahead_(now, next) {}

  void run() {
    const AttentionTile& t = tiles_[0];
    for (int i = 0; i < kPagesAhead; ++i, ahead_.advance()) {
      for (int32_t h = 0; h < count_; ++h)
        fetch(ahead_.rows<Key>(h), static_cast<size_t>(t.page_tokens) * bytes_of_row<Key>(t.head_dim));
    }
    for (int32_t h = 0; h < count_; ++h) rows_[h].begin(tiles_[h]);
    for (int32_t piece = t.kv_begin; piece < t.kv_end; piece = next_piece(t, piece)) {
      const int32_t num_keys = keys_in_piece(t, piece);
      for (int32_t h = 0; h < count_; ++h) rows_[h].begin_piece(piece, num_keys);
      for_each_page<Key>(
          piece, num_keys, false,
          [](auto& rows, const auto* k, const auto* ahead, int32_t key, int32_t n) { rows.score(k, ahead, key, n); });
      for (int32_t h = 0; h < count_; ++h) {
        apply_scales<Key>(tiles_[h], piece, tiles_[h].k_scales, rows_[h]);
        rows_[h].softmax();
        apply_scales<Value>(tiles_[h], piece, tiles_[h].v_scales, rows_[h]);
      }
      for_each_page<Value>(
          piece, num_keys, true,
          [](auto& rows, const auto* v, const auto* ahead, int32_t key, int32_t n) { rows.weigh(v, ahead, key, n); });
      for (int32_t h = 0; h < count_; ++h) rows_[h].fold();
    }
    for (int32_t h = 0; h < count_; ++h) rows_[h].write();
  }

 private:
  static constexpr int kPagesAhead = 3;  // 1 and 2 cost up to a tenth at depth 8,192; 4 no less

  /// Calls use(rows of a head, its page, the page to fetch, first key of the piece, number of keys).
  template <class Element, class Function>
  [[gnu::always_inline]] void for_each_page(int32_t piece, int32_t num_keys, bool values, Function use) {
    const int32_t page_tokens = tiles_[0].page_tokens;
    const KeyGap gap = tiles_[0].gap;
    const int32_t end = piece + num_keys;
    for (int32_t key = gap.skip(piece, page_tokens); key < end; key = gap.skip(key + page_tokens, page_tokens)) {
      const int32_t n = end - key < page_tokens ? end - key : page_tokens;
      for (int32_t h = 0; h < count_; ++h) {
        const Element* ahead = ahead_.template rows<Element>(h);
        if constexpr (kIsPacked<Element>) {
          fetch(ahead, static_cast<size_t>(n) * bytes_of_row<Element>(tiles_[h].head_dim));
          fetch_elements(ahead_.scales(h), n * q4_scales(tiles_[h].head_dim));
          use_unpacked(h, key, n, values, key - piece, use);
        } else {
          use(rows_[h], page_rows<Element>(tiles_[h], key / page_tokens, values ? tiles_[h].v_offset : 0), ahead, key - piece, n);
        }
      }
      ahead_.advance();
    }
  }

  /// The same for the rows of one page and head, turned into floats some at a time.
  template <class Function>
  [[gnu::always_inline]] void use_unpacked(int32_t h, int32_t key, int32_t num_keys, bool values, int32_t key_in_piece, Function use) {
    const AttentionTile& t = tiles_[h];
    float* floats = tiles_[0].scratch + TileRows<Lanes, Wide>::scratch_floats(tiles_[0].num_tokens * tiles_[0].num_heads, t.head_dim);
    const auto* unpacked = reinterpret_cast<const Unpacked*>(floats);
    for (int32_t i = 0; i < num_keys; i += kColumns) {
      const int32_t n = num_keys - i < kColumns ? num_keys - i : kColumns;
      unpack_page_rows<Lanes, Wide>(t, key / t.page_tokens, i, n, values, floats);
      use(rows_[h], unpacked, unpacked, key_in_piece + i, n);
    }
  }

  const AttentionTile* tiles_;
  const int32_t count_;
  PageWalk ahead_;
  TileRows<Lanes, Wide> rows_[kHeadsTogether];
};

}  // namespace
}  // namespace terrace
