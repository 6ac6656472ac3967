// Attention over paged K and V, written once for every ISA (lanes.h). The arithmetic of one query row, whatever tile it
// is in:
//   piece = 256 keys from an absolute multiple of 256; s_j = dot(q * scale, k_j) in 8 lanes over head_dim, soft-capped
//   where wanted; m = max s_j; p_j = exp(s_j - m); l = sum of p_j in 8 lanes over j; O = (sum of p_j v_j in order of j,
//   by fma) / l; LSE = m + log l; pieces are merged from left to right. Rows of 8 bits: k_j and v_j are their integers;
//   s_j is multiplied by the key's scale before it is capped, and p_j by the value's after l is summed. Rows of 4 bits: as
//   the floats that unpack_rows() makes of them.
// Hence equal bits alone or in a batch, in any chunking, fold or stored partials. A position beyond a row's own, or in
// the gap of its window, is never part of its arithmetic (it may hold stale NaN); a page in the gap of all rows is not
// read at all.
//
// Speed: rows (tokens x heads of the group) go through register tiles (attention_blocks.h). Few rows (decode) read K
// and V as they lie in the page, the KV heads in turn, so that memory is read in long runs. Many rows (prefill) share
// keys that are transposed to floats once, and values widened once (attention_packing.h); in Numerics::kFast they may
// be pairs of bfloat16 instead (attention_pairs.h), whose bits depend on the tile.
#pragma once

#include "kernels/cpu/attention_packing.h"
#include "kernels/cpu/attention_rows.h"
#include "kernels/cpu/q4_row.h"

namespace terrace {
namespace {

constexpr int32_t kDirectRows = 30;  // up to here, reading 16-bit rows again costs less than widening them

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

/// A tile whose K and V are packed first, some keys at a time, for all of its rows.
template <class Rows, class Packing, class Key, class Value>
class PackedTile {
 public:
  explicit PackedTile(const AttentionTile& tile)
      : t_(tile),
        dims_(Rows::padded(tile.head_dim)),
        chunk_keys_(Packing::chunk_keys(dims_)),
        packed_(tile.scratch + Rows::scratch_floats(Rows::room(tile), tile.head_dim)),
        unpacked_(packed_ + chunk_keys_ / Packing::kValuesTogether * dims_) {}

  void run() {
    rows_.begin(t_);
    for (piece_ = t_.kv_begin; piece_ < t_.kv_end; piece_ = next_piece(t_, piece_)) {
      gap_ = {t_.gap.begin - piece_, t_.gap.end - piece_};
      const int32_t num_keys = keys_in_piece(t_, piece_);
      rows_.begin_piece(piece_, num_keys);
      for_each_chunk(num_keys, false, [this](int32_t key, int32_t count) {
        pack_keys(key, count);
        rows_.score_packed(packed_, key, count);
      });
      apply_scales<Key>(t_, piece_, t_.k_scales, rows_);
      rows_.softmax();
      apply_scales<Value>(t_, piece_, t_.v_scales, rows_);
      rows_.pack_weights();
      for_each_chunk(num_keys, true, [this](int32_t key, int32_t count) {
        pack_values(key, count);
        rows_.weigh_packed(packed_, key, count);
      });
      rows_.fold();
    }
    rows_.write();
  }

 private:
  /// Calls use(first key, number of keys) for the chunks of the piece's K or V, having fetched the next one.
  template <class Function>
  void for_each_chunk(int32_t num_keys, bool values, Function use) {
    const int32_t first = gap_.skip(0, kColumns);
    for (int32_t key = first; key < num_keys;) {
      const int32_t next = gap_.skip(key + chunk_keys_, kColumns);
      if (next < num_keys) {
        fetch_chunk(next, num_keys, values);
      } else if (!values) {
        fetch_chunk(first, num_keys, true);
      } else if (const int32_t piece = next_piece(t_, piece_); piece < t_.kv_end) {
        fetch_chunk(piece - piece_, keys_in_piece(t_, piece) + piece - piece_, false);
      }
      use(key, num_keys - key < chunk_keys_ ? num_keys - key : chunk_keys_);
      key = next;
    }
  }

  [[gnu::always_inline]] void fetch_chunk(int32_t key, int32_t end, bool values) const {
    end = end - key < chunk_keys_ ? end : key + chunk_keys_;
    const size_t row_bytes = values ? bytes_of_row<Value>(t_.head_dim) : bytes_of_row<Key>(t_.head_dim);
    for (; key < end; ++key) {
      if (in_gap(key)) continue;
      const void* row = row_of<Key>(key, 0);
      if (values) row = row_of<Value>(key, t_.v_offset);
      fetch(row, row_bytes);
    }
  }

  /// Whether no row attends this key, counted from the piece's begin.
  bool in_gap(int32_t key) const { return key >= gap_.begin && key < gap_.end; }

  /// The row of a key, counted from the piece's begin.
  template <class Element>
  const Element* row_of(int32_t key, size_t offset) const {
    const int32_t position = piece_ + key;
    const int32_t stride = static_cast<int32_t>(bytes_of_row<Element>(t_.head_dim) / sizeof(Element));
    return page_rows<Element>(t_, position / t_.page_tokens, offset) + position % t_.page_tokens * stride;
  }

  /// The key's K or V row as elements that can be loaded: those of the page or, of a packed row, `floats`, which it is turned into.
  template <class Element>
  auto readable_row(int32_t key, bool values, float* floats) const {
    if constexpr (kIsPacked<Element>) {
      const int32_t position = piece_ + key;
      unpack_page_rows<typename Rows::LanesType, typename Rows::WideType>(t_, position / t_.page_tokens, position % t_.page_tokens, 1, values, floats);
      return static_cast<const float*>(floats);
    } else {
      return row_of<Element>(key, values ? t_.v_offset : 0);
    }
  }

  /// Blocks of kColumns keys. Others stand in for the keys of the gap, and for those that fill up the last block.
  void pack_keys(int32_t key, int32_t count) {
    const int32_t last = key + count - 1;
    const int32_t beside_gap = gap_.end <= last ? gap_.end : gap_.begin - 1;
    float* block = packed_;
    for (int32_t begin = 0; begin < count; begin += kColumns, block += Packing::block_floats(dims_)) {
      decltype(readable_row<Key>(0, false, nullptr)) rows[kColumns];
      for (int32_t i = 0; i < kColumns; ++i) {
        const int32_t wanted = begin + i < count ? key + begin + i : last;
        rows[i] = readable_row<Key>(in_gap(wanted) ? beside_gap : wanted, false, unpacked_ + i * dims_);
      }
      Packing::pack_keys(rows, t_.head_dim, dims_, block);
    }
  }

  /// Some rows at a time, of which those in the gap or beyond the last are none.
  void pack_values(int32_t key, int32_t count) {
    constexpr int32_t kTogether = Packing::kValuesTogether;
    const int32_t end = (count + Packing::kValuesMultiple - 1) / Packing::kValuesMultiple * Packing::kValuesMultiple;
    for (int32_t begin = 0; begin < end; begin += kTogether) {
      decltype(readable_row<Value>(0, true, nullptr)) rows[kTogether];
      for (int32_t i = 0; i < kTogether; ++i) {
        const bool none = begin + i >= count || in_gap(key + begin + i);
        rows[i] = none ? nullptr : readable_row<Value>(key + begin + i, true, unpacked_ + i * dims_);
      }
      Packing::pack_values(rows, t_.head_dim, dims_, packed_ + begin / kTogether * dims_);
    }
  }

  const AttentionTile& t_;
  const int32_t dims_;  // head_dim, rounded up to whole lanes
  const int32_t chunk_keys_;
  float* packed_;    // chunk_keys_ of K or V
  float* unpacked_;  // [kColumns, dims_]: rows of 4-bit codes as floats
  int32_t piece_ = 0;
  KeyGap gap_;  // of the tile, counted from the piece's begin
  Rows rows_;
};

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
