// Attention tiles of many rows (attention_kernel.h), whose K and V are packed first, some keys at a time.
#pragma once

#include "kernels/cpu/attention_packing.h"
#include "kernels/cpu/attention_pages.h"

namespace terrace {
namespace {

/// Packs them for all of its rows.
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

}  // namespace
}  // namespace terrace
