// Attention over paged K and V, written once for every ISA (lanes.h). The arithmetic of one query row, whatever tile it
// is in:
//   piece = 256 keys from an absolute multiple of 256; s_j = dot(q * scale, k_j) in 8 lanes over head_dim; m = max s_j;
//   p_j = exp(s_j - m); l = sum of p_j in 8 lanes over j; O = (sum of p_j v_j in order of j, by fma) / l; LSE = m + log
//   l; pieces are merged from left to right.
// Hence equal bits alone or in a batch, in any chunking, fold or stored partials. A position beyond a row's own is
// never part of its arithmetic (its page may hold stale NaN).
//
// Speed: rows (tokens x heads of the group) go through register tiles (attention_blocks.h). Few rows (decode) read K
// and V as they lie in the page, the KV heads in turn, so that memory is read in long runs. Many rows (prefill) share
// keys that are transposed to floats once, and values widened once.
#pragma once

#include "kernels/cpu/attention_rows.h"

namespace terrace {
namespace {

constexpr int32_t kDirectRows = 30;  // up to here, reading 16-bit rows again costs less than widening them

template <class Element>
const Element* page_rows(const AttentionTile& tile, int32_t page, size_t offset) {
  return reinterpret_cast<const Element*>(tile.pool + tile.frames[page] * tile.page_stride + offset);
}

inline int32_t keys_in_piece(const AttentionTile& tile, int32_t piece) {
  return tile.kv_end - piece < kAttentionSplit ? tile.kv_end - piece : kAttentionSplit;
}

/// The order in which pages are read: all K of a piece, all V, the next piece; then the tiles to come. Stays at the
/// last page.
class PageWalk {
 public:
  PageWalk(const TileGroup& now, const TileGroup& next) : now_(now), next_(next), key_(now.tiles->kv_begin) {}

  /// The page of one of the tiles, or of the last where `index` is beyond.
  template <class Element>
  const Element* rows(int32_t index) const {
    const AttentionTile& tile = now_.tiles[index < now_.count ? index : now_.count - 1];
    return page_rows<Element>(tile, key_ / tile.page_tokens, offset_);
  }
  void advance() {
    const AttentionTile& tile = *now_.tiles;
    const int32_t piece = key_ / kAttentionSplit * kAttentionSplit;
    const int32_t key = key_ + tile.page_tokens;
    if (key < piece + keys_in_piece(tile, piece)) {
      key_ = key;
    } else if (offset_ == 0) {
      key_ = piece;
      offset_ = tile.v_offset;
    } else if (key < tile.kv_end) {
      key_ = key;
      offset_ = 0;
    } else if (next_.count > 0) {
      now_ = next_;
      next_ = {};
      key_ = now_.tiles->kv_begin;
      offset_ = 0;
    }
  }

 private:
  TileGroup now_, next_;
  int32_t key_;
  size_t offset_ = 0;
};

/// Tiles of the same token and keys, of KV heads that are neighbours in the pages; few rows each.
template <class Lanes, class Wide, class Element>
class DirectTiles {
 public:
  DirectTiles(const TileGroup& now, const TileGroup& next) : tiles_(now.tiles), count_(now.count), ahead_(now, next) {}

  void run() {
    const AttentionTile& t = tiles_[0];
    for (int i = 0; i < kPagesAhead; ++i, ahead_.advance()) {
      for (int32_t h = 0; h < count_; ++h)
        fetch(ahead_.rows<Element>(h), static_cast<size_t>(t.page_tokens * t.head_dim) * sizeof(Element));
    }
    for (int32_t h = 0; h < count_; ++h) rows_[h].begin(tiles_[h]);
    for (int32_t piece = t.kv_begin; piece < t.kv_end; piece += kAttentionSplit) {
      const int32_t num_keys = keys_in_piece(t, piece);
      for (int32_t h = 0; h < count_; ++h) rows_[h].begin_piece(piece, num_keys);
      for_each_page(piece, num_keys, 0, [](auto& rows, const Element* k, const Element* ahead, int32_t key, int32_t n) {
        rows.score(k, ahead, key, n);
      });
      for (int32_t h = 0; h < count_; ++h) rows_[h].softmax();
      for_each_page(piece, num_keys, t.v_offset,
                    [](auto& rows, const Element* v, const Element* ahead, int32_t key, int32_t n) {
                      rows.weigh(v, ahead, key, n);
                    });
      for (int32_t h = 0; h < count_; ++h) rows_[h].fold();
    }
    for (int32_t h = 0; h < count_; ++h) rows_[h].write();
  }

 private:
  static constexpr int kPagesAhead = 2;  // and 3 alike; 1 and 4 cost a tenth

  /// Calls use(rows of a head, its page, the page to fetch, first key of the piece, number of keys).
  template <class Function>
  [[gnu::always_inline]] void for_each_page(int32_t piece, int32_t num_keys, size_t offset, Function use) {
    const int32_t page_tokens = tiles_[0].page_tokens;
    for (int32_t key = 0; key < num_keys; key += page_tokens, ahead_.advance()) {
      const int32_t n = num_keys - key < page_tokens ? num_keys - key : page_tokens;
      for (int32_t h = 0; h < count_; ++h) {
        use(rows_[h], page_rows<Element>(tiles_[h], (piece + key) / page_tokens, offset),
            ahead_.template rows<Element>(h), key, n);
      }
    }
  }

  const AttentionTile* tiles_;
  const int32_t count_;
  PageWalk ahead_;
  TileRows<Lanes, Wide> rows_[kHeadsTogether];
};

/// A tile whose K and V are turned into floats, some keys at a time.
template <class Lanes, class Wide, class Element>
class WideTile {
 public:
  explicit WideTile(const AttentionTile& tile)
      : t_(tile),
        dims_(TileRows<Lanes, Wide>::padded(tile.head_dim)),
        chunk_keys_(chunk_keys(dims_)),
        wide_(tile.scratch + TileRows<Lanes, Wide>::scratch_floats(tile.num_tokens * tile.num_heads, tile.head_dim)) {}

  /// Keys that are widened at a time: 16 KiB of floats stay in L1.
  static int32_t chunk_keys(int32_t dims) {
    const int32_t keys = 4096 / dims / kColumns * kColumns;
    return keys < kColumns ? kColumns : keys < kAttentionSplit ? keys : kAttentionSplit;
  }

  void run() {
    rows_.begin(t_);
    for (piece_ = t_.kv_begin; piece_ < t_.kv_end; piece_ += kAttentionSplit) {
      const int32_t num_keys = keys_in_piece(t_, piece_);
      rows_.begin_piece(piece_, num_keys);
      for_each_chunk(num_keys, 0, [this](int32_t key, int32_t count) {
        transpose_keys(key, count);
        rows_.score_transposed(wide_, key, count);
      });
      rows_.softmax();
      for_each_chunk(num_keys, t_.v_offset, [this](int32_t key, int32_t count) {
        widen_values(key, count);
        rows_.weigh_floats(wide_, key, count);
      });
      rows_.fold();
    }
    rows_.write();
  }

 private:
  /// Calls use(first key, number of keys) for the chunks of the piece's K or V, having fetched the next one.
  template <class Function>
  void for_each_chunk(int32_t num_keys, size_t offset, Function use) {
    for (int32_t key = 0; key < num_keys; key += chunk_keys_) {
      const int32_t next = key + chunk_keys_;
      if (next < num_keys) {
        fetch_chunk(next, num_keys, offset);
      } else if (offset == 0) {
        fetch_chunk(0, num_keys, t_.v_offset);
      } else if (piece_ + next < t_.kv_end) {
        fetch_chunk(next, keys_in_piece(t_, piece_ + next) + next, 0);
      }
      use(key, num_keys - key < chunk_keys_ ? num_keys - key : chunk_keys_);
    }
  }

  [[gnu::always_inline]] void fetch_chunk(int32_t key, int32_t end, size_t offset) const {
    end = end - key < chunk_keys_ ? end : key + chunk_keys_;
    for (; key < end; ++key) fetch(row_of(key, offset), static_cast<size_t>(t_.head_dim) * sizeof(Element));
  }

  /// The row of a key, counted from the piece's begin.
  const Element* row_of(int32_t key, size_t offset) const {
    const int32_t position = piece_ + key;
    return page_rows<Element>(t_, position / t_.page_tokens, offset) + position % t_.page_tokens * t_.head_dim;
  }

  /// Eight elements from dim d on; zeros beyond head_dim.
  Lanes load(const Element* row, int32_t d) const {
    if (d + kLanes <= t_.head_dim) return Lanes::load(row + d);
    Element tail[kLanes] = {};
    for (int32_t i = d; i < t_.head_dim; ++i) tail[i - d] = row[i];
    return Lanes::load(tail);
  }

  /// Blocks of kColumns keys, each [dims_, kColumns]. The last key stands in for those that fill up the last block.
  void transpose_keys(int32_t key, int32_t count) {
    float* block = wide_;
    for (int32_t begin = 0; begin < count; begin += kColumns, block += kColumns * dims_) {
      const Element* rows[kColumns];
      for (int32_t i = 0; i < kColumns; ++i) rows[i] = row_of(key + (begin + i < count ? begin + i : count - 1), 0);
      for (int32_t d = 0; d < dims_; d += kLanes) {
        for (int32_t half = 0; half < kColumns; half += kLanes) {
          Lanes square[kLanes];
#pragma GCC unroll 8
          for (int i = 0; i < kLanes; ++i) square[i] = load(rows[half + i], d);
          Lanes::transpose(square);
#pragma GCC unroll 8
          for (int i = 0; i < kLanes; ++i) square[i].store(block + (d + i) * kColumns + half);
        }
      }
    }
  }

  void widen_values(int32_t key, int32_t count) {
    for (int32_t j = 0; j < count; ++j) {
      const Element* row = row_of(key + j, t_.v_offset);
      for (int32_t d = 0; d < dims_; d += kLanes) load(row, d).store(wide_ + j * dims_ + d);
    }
  }

  const AttentionTile& t_;
  const int32_t dims_;  // head_dim, rounded up to whole lanes
  const int32_t chunk_keys_;
  float* wide_;  // [chunk_keys_ / kColumns, dims_, kColumns] of K or [chunk_keys_, dims_] of V
  int32_t piece_ = 0;
  TileRows<Lanes, Wide> rows_;
};

inline bool is_direct(const AttentionTile& tile) {
  return tile.num_tokens * tile.num_heads <= kDirectRows && tile.head_dim % kLanes == 0;
}

template <class Lanes, class Wide, class Element>
void run_tiles_of(const TileGroup& now, const TileGroup& next) {
  bool direct = true;
  for (int32_t h = 0; h < now.count; ++h) direct = direct && is_direct(now.tiles[h]);
  if (direct) return DirectTiles<Lanes, Wide, Element>(now, next).run();
  for (int32_t h = 0; h < now.count; ++h) WideTile<Lanes, Wide, Element>(now.tiles[h]).run();
}

template <class Lanes, class Wide>
void run_tiles(const TileGroup& now, const TileGroup& next) {
  switch (now.tiles->kv_type) {
    case KvType::kF32: return run_tiles_of<Lanes, Wide, float>(now, next);
    case KvType::kF16: return run_tiles_of<Lanes, Wide, F16>(now, next);
    case KvType::kBF16: return run_tiles_of<Lanes, Wide, BF16>(now, next);
  }
}

template <class Lanes>
void run_merge(const PartialMerge& merge) {
  for (int32_t head = 0; head < merge.num_heads; ++head) {
    float* out = merge.out + head * merge.head_dim;
    const float* partial = merge.partial + head * merge.head_dim;
    for (int32_t d = 0; d < merge.head_dim; ++d) out[d] = partial[d];
    float lse = merge.lse[head];
    for (int32_t i = 1; i < merge.num_pieces; ++i) {
      merge_piece<Lanes>(out, lse, partial + i * merge.partial_stride, merge.lse[i * merge.lse_stride + head],
                         merge.head_dim);
    }
  }
}

}  // namespace
}  // namespace terrace
