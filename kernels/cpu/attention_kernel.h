// Attention over paged K and V, written once for every ISA (lanes.h, pairs.h). The arithmetic of one query row, whatever tile it is in:
//   integers: K and V rows are codes of 14 bits times a scale each (attention_codes.h); q * scale is codes Q times a scale, such that the
//   sum of |Q| times the largest code stays below 2^31.
//   piece = 256 keys from an absolute multiple of 256; s_j = (sum of Q_d K_jd) * both scales, soft-capped where wanted; m = max s_j;
//   p_j = 2^((s_j - m) log2 e); l = sum of p_j in 16 lanes over j; P_j = codes of p_j * V_j's scale, such that the sums of P_j V_jd over 128 keys stay
//   below 2^31; O = (those two sums, as floats) / (P's factor * l); LSE = m + log l; pieces are merged from left to right.
// Sums of integers are exact. Hence equal bits on every ISA, alone or in a batch, in any chunking, fold or stored partials. A position beyond a
// row's own, or in the gap of its window, has weight 0 (it may hold stale NaN); a page in the gap of all rows is not read at all.
//
// Speed: 16-bit products are twice as many an instruction as fp32 ones. Rows (tokens x heads of the group) go through register tiles
// (attention_products.h) by sixes. Few rows (decode) take K and V block by block, the KV heads in turn, so that memory is read in long runs.
// Many rows (prefill) share a packed piece in L2, and their scores never leave L1.
#pragma once

#include "kernels/cpu/attention_pages.h"
#include "kernels/cpu/attention_rows.h"

namespace terrace {
namespace {

constexpr int32_t kDirectRows = 30;  // up to here, scores of all rows stay in L1
constexpr int32_t kMostDirectBlocks = (kDirectRows + kMostRows - 1) / kMostRows;

/// Room for a packed block.
struct BlockRoom {
  int32_t* codes;
  float* scale;
};

/// The keys of the block that begins at position `key`, packed in `room` where the pages hold them otherwise.
template <class V, class Key>
PackedBlock take_keys(const AttentionTile& t, int32_t key, BlockRoom room) {
  const RowPlace place = {0, t.k_scales};
  if (is_packed<Key>(t)) return find_packed(t, key, place);
  BlockRows<Key> rows;
  find_rows(t, key, place, rows);
  float inverse[kBlockKeys];
  find_scales<V>(rows, t.head_dim, room.scale, inverse);
  pack_keys<V>(rows, inverse, t.head_dim, room.codes);
  return {room.codes, room.scale};
}

/// The scales of the block's values, and what take_values() needs later.
template <class V, class Value>
void find_value_scales(const AttentionTile& t, int32_t key, float* scale, float* inverse) {
  const RowPlace place = {t.v_offset, t.v_scales};
  if (is_packed<Value>(t)) {
    __builtin_memcpy(scale, find_packed(t, key, place).scale, kBlockKeys * sizeof(float));
    return;
  }
  BlockRows<Value> rows;
  find_rows(t, key, place, rows);
  find_scales<V>(rows, t.head_dim, scale, inverse);
}

/// The values of the block, packed in `room` where the pages hold them otherwise.
template <class V, class Value>
const int32_t* take_values(const AttentionTile& t, int32_t key, const float* inverse, int32_t* room) {
  const RowPlace place = {t.v_offset, t.v_scales};
  if (is_packed<Value>(t)) return find_packed(t, key, place).codes;
  BlockRows<Value> rows;
  find_rows(t, key, place, rows);
  pack_values<V>(rows, inverse, t.head_dim, room);
  return room;
}

/// Tiles of the same token and keys, of KV heads that are neighbours in the pages; few rows each.
template <class V, class Key, class Value>
class DirectTiles {
 public:
  DirectTiles(const TileGroup& now, const TileGroup& next) : tiles_(now.tiles), count_(now.count), keys_ahead_(now, next), values_ahead_(now, next), near_(now, next), cold_(!now.fetched) {}

  void run() {
    const AttentionTile& t = tiles_[0];
    for (int i = 0; i < kColdBlocksAhead; ++i) near_.advance();
    for (int i = 0; i < kAttentionSplit / kBlockKeys; ++i) {
      keys_ahead_.advance();
      values_ahead_.advance();
    }
    for (int32_t h = 0; h < count_; ++h) heads_[h].begin(tiles_[h]);
    for (int32_t piece = t.kv_begin; piece < t.kv_end; piece = next_piece(t, piece)) run_piece(piece, keys_in_piece(t, piece));
    for_each_block([](RowBlock<V>& rows) { rows.write(); });
  }

 private:
  static constexpr int kColdBlocksAhead = 3;

  struct Head {
    void begin(const AttentionTile& tile) {
      const int32_t num_rows = tile.num_tokens * tile.num_heads;
      memory = TileMemory(tile.scratch, num_rows, tile.head_dim, kMostDirectBlocks);
      load_queries<V>(tile, memory);
      for (int32_t first = 0; first < num_rows; first += kMostRows)
        rows[count++].begin(tile, memory, first, num_rows - first < kMostRows ? num_rows - first : kMostRows, first / kMostRows);
    }

    TileMemory memory;
    RowBlock<V> rows[kMostDirectBlocks];
    int32_t count = 0;
  };

  void run_piece(int32_t piece, int32_t num_keys) {
    const KeyGap gap = {tiles_[0].gap.begin - piece, tiles_[0].gap.end - piece};
    for_each_block([&](RowBlock<V>& rows) { rows.begin_piece(piece, num_keys); });
    for (int32_t key = gap.skip(0, kBlockKeys); key < num_keys; key = gap.skip(key + kBlockKeys, kBlockKeys)) {
      for (int32_t h = 0; h < count_; ++h) score(h, piece, key);
      keys_ahead_.advance();
      near_.advance();
    }
    cold_ = false;
    for_each_block([](RowBlock<V>& rows) { rows.softmax(); });
    int32_t key = gap.skip(0, kBlockKeys);
    for (int32_t part = 0; part < kAttentionSplit / kPartKeys; ++part) {
      for (; key < num_keys && key < (part + 1) * kPartKeys; key = gap.skip(key + kBlockKeys, kBlockKeys)) {
        for (int32_t h = 0; h < count_; ++h) weigh(h, piece, key);
        values_ahead_.advance();
      }
      for_each_block([part](RowBlock<V>& rows) { rows.end_part(part); });
    }
    for_each_block([](RowBlock<V>& rows) { rows.fold(); });
  }

  void score(int32_t h, int32_t piece, int32_t key) {
    const AttentionTile& t = tiles_[h];
    Head& head = heads_[h];
    const TileMemory& m = head.memory;
    if (cold_) {
      const auto dims = static_cast<size_t>(kBlockKeys * row_elements<Key>(t));
      fetch(near_.template rows<Key>(h, false), dims * sizeof(Key));
      fetch(near_.template rows<Value>(h, true), dims * sizeof(Value));
    }
    const PackedBlock keys = take_keys<V, Key>(t, piece + key, {m.keys, m.key_scale});
    const std::byte* ahead = keys_ahead_.template rows<Key>(h, false);
    for (int32_t i = 0; i < head.count; ++i) {
      if (key >= head.rows[i].begin_key() && key < head.rows[i].end_key()) head.rows[i].score(keys.codes, keys.scale, key, 1, i == 0 ? ahead : nullptr);
    }
    find_value_scales<V, Value>(t, piece + key, m.value_scale + key, m.inverse + key);
  }

  void weigh(int32_t h, int32_t piece, int32_t key) {
    const AttentionTile& t = tiles_[h];
    Head& head = heads_[h];
    const int32_t* values = take_values<V, Value>(t, piece + key, head.memory.inverse + key, head.memory.values);
    const std::byte* ahead = values_ahead_.template rows<Value>(h, true);
    for (int32_t i = 0; i < head.count; ++i) {
      if (key >= head.rows[i].begin_key() && key < head.rows[i].end_key()) head.rows[i].weigh(values, key, 1, i == 0 ? ahead : nullptr);
    }
  }

  template <class Function>
  void for_each_block(Function use) {
    for (int32_t h = 0; h < count_; ++h) {
      for (int32_t i = 0; i < heads_[h].count; ++i) use(heads_[h].rows[i]);
    }
  }

  const AttentionTile* tiles_;
  const int32_t count_;
  BlockWalk keys_ahead_, values_ahead_;  // a piece ahead: keys are fetched while keys are at work, values while values are
  BlockWalk near_;                       // in a first piece that no one has fetched
  bool cold_;
  Head heads_[kHeadsTogether];
};

/// A tile of many rows: a piece is packed once for all of them.
template <class V, class Key, class Value>
class WideTile {
 public:
  explicit WideTile(const AttentionTile& tile)
      : t_(tile), num_rows_(tile.num_tokens * tile.num_heads), memory_(tile.scratch, num_rows_, tile.head_dim, 1) {}

  void run() {
    load_queries<V>(t_, memory_);
    for (piece_ = t_.kv_begin; piece_ < t_.kv_end; piece_ = next_piece(t_, piece_)) {
      gap_ = {t_.gap.begin - piece_, t_.gap.end - piece_};
      pack();
      fetched_ = 0;
      for_each_block([this](RowBlock<V>& rows) {
        fetch_ahead();
        if (rows.any()) run_block(rows);
      });
    }
    piece_ = t_.kv_begin;
    for_each_block([](RowBlock<V>& rows) { rows.write(); });
  }

 private:
  template <class Function>
  void for_each_block(Function use) {
    for (int32_t first = 0; first < num_rows_; first += kMostRows) {
      RowBlock<V> rows;
      rows.begin(t_, memory_, first, num_rows_ - first < kMostRows ? num_rows_ - first : kMostRows, 0);
      rows.begin_piece(piece_, keys_in_piece(t_, piece_));
      use(rows);
    }
  }

  void pack() {
    const int32_t num_keys = keys_in_piece(t_, piece_), dims = padded_dims(t_.head_dim);
    for (int32_t key = gap_.skip(0, kBlockKeys); key < num_keys; key = gap_.skip(key + kBlockKeys, kBlockKeys)) {
      const size_t block_bytes = static_cast<size_t>(kBlockKeys * dims / 2) * sizeof(int32_t);
      int32_t* keys = memory_.keys + key * dims / 2;
      int32_t* values = memory_.values + key * dims / 2;
      const PackedBlock packed = take_keys<V, Key>(t_, piece_ + key, {keys, memory_.key_scale + key});
      if (packed.codes != keys) {  // together they are faster to multiply
        __builtin_memcpy(keys, packed.codes, block_bytes);
        __builtin_memcpy(memory_.key_scale + key, packed.scale, kBlockKeys * sizeof(float));
      }
      find_value_scales<V, Value>(t_, piece_ + key, memory_.value_scale + key, memory_.inverse + key);
      const int32_t* packed_values = take_values<V, Value>(t_, piece_ + key, memory_.inverse + key, values);
      if (packed_values != values) __builtin_memcpy(values, packed_values, block_bytes);
    }
  }

  void run_block(RowBlock<V>& rows) {
    const int32_t half_dims = padded_dims(t_.head_dim) / 2, begin = rows.begin_key(), end = rows.end_key();
    for_each_run(begin, end, rows.gap(), [&](int32_t key, int32_t blocks) {
      rows.score(memory_.keys + key * half_dims, memory_.key_scale + key, key, blocks);
    });
    rows.softmax();
    for (int32_t part = 0; part < kAttentionSplit / kPartKeys; ++part) {
      const int32_t from = part * kPartKeys, to = from + kPartKeys;
      for_each_run(begin > from ? begin : from, end < to ? end : to, rows.gap(),
                   [&](int32_t key, int32_t blocks) { rows.weigh(memory_.values + key * half_dims, key, blocks); });
      rows.end_part(part);
    }
    rows.fold();
  }

  /// Asks for a block of the next piece's K or V: they come in while rows are at work.
  void fetch_ahead() {
    const int32_t key = next_piece(t_, piece_) + fetched_ / 2 * kBlockKeys;
    if (t_.page_tokens < kBlockKeys || key >= t_.kv_end || fetched_ / 2 * kBlockKeys >= kAttentionSplit) return;
    const bool values = fetched_ % 2 != 0;
    const size_t row_bytes = values ? row_elements<Value>(t_) * sizeof(Value) : row_elements<Key>(t_) * sizeof(Key);
    const std::byte* page = page_rows<std::byte>(t_, key / t_.page_tokens, values ? t_.v_offset : 0);
    fetch(page + static_cast<size_t>(key % t_.page_tokens) * row_bytes, kBlockKeys * row_bytes);
    ++fetched_;
  }

  const AttentionTile& t_;
  const int32_t num_rows_;
  TileMemory memory_;
  int32_t piece_ = 0;
  int32_t fetched_ = 0;
  KeyGap gap_;  // of the tile, counted from the piece's begin
};

template <class V, class Key, class Value>
void run_tiles_of(const TileGroup& now, const TileGroup& next) {
  bool direct = true;
  for (int32_t h = 0; h < now.count; ++h) direct = direct && now.tiles[h].num_tokens * now.tiles[h].num_heads <= kDirectRows;
  if (direct) return DirectTiles<V, Key, Value>(now, next).run();
  for (int32_t h = 0; h < now.count; ++h) WideTile<V, Key, Value>(now.tiles[h]).run();
}

template <class V>
void run_tiles(const TileGroup& now, const TileGroup& next) {
  const KvFormat format = now.tiles->format;
  switch (format.k) {
    case KvType::kF32: return run_tiles_of<V, float, float>(now, next);
    case KvType::kF16: return run_tiles_of<V, F16, F16>(now, next);
    case KvType::kBF16: return run_tiles_of<V, BF16, BF16>(now, next);
    case KvType::kI16: return run_tiles_of<V, I16, I16>(now, next);
    case KvType::kQ8: break;
  }
  if (format.v == KvType::kQ8) return run_tiles_of<V, Q8, Q8>(now, next);
  run_tiles_of<V, Q8, F16>(now, next);
}

template <class Lanes>
void run_merge(const PartialMerge& merge) {
  for (int32_t head = 0; head < merge.num_heads; ++head) {
    float* out = merge.out + head * merge.head_dim;
    const float* partial = merge.partial + head * merge.head_dim;
    const int32_t first = merge.sink_pieces > 0 ? 0 : merge.hole;
    for (int32_t d = 0; d < merge.head_dim; ++d) out[d] = partial[first * merge.partial_stride + d];
    Lanes lse = Lanes::broadcast(merge.lse[first * merge.lse_stride + head]);
    for (int32_t i = 1; i < merge.num_pieces; ++i) {
      const int32_t at = i < merge.sink_pieces ? i : i + merge.hole;
      const MergeShares<Lanes> shares(lse, Lanes::broadcast(merge.lse[at * merge.lse_stride + head]));
      merge_piece<Lanes>(out, partial + at * merge.partial_stride, shares.state.first(), shares.piece.first(), merge.head_dim);
      lse = shares.lse;
    }
  }
}

}  // namespace
}  // namespace terrace
