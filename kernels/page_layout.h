// Where each K and V row lies inside a page (LAW 2): one contiguous block per rank, [layer][K|V][kv_head][token][head_dim], a layer's scales
// behind its rows, [K|V][kv_head][token]: a float for a row of kQ8, q4_scales() f16 for one of kQ4. Where pages are read sparsely, summaries of the keys
// come last, [kv_head][largest|smallest][dim].
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "kernels/kv_format.h"

namespace terrace {

/// The K or the V of a layer. Bytes; offsets count from the layer's begin.
struct PageRows {
  KvType type = KvType::kF16;
  size_t offset = 0;
  size_t row_bytes = 0;     // one token of one head
  size_t head_stride = 0;   // page_tokens rows
  size_t scales = 0;        // offset of [num_kv_heads, page_tokens] rows' scales, where is_quantised(type)
  size_t scale_bytes = 0;   // of a row
  bool operator==(const PageRows&) const = default;
};

/// A page's address is pool + frame * page_stride.
struct PageLayout {
  PageRows k, v;
  int32_t page_tokens = 16;
  int32_t num_layers = 0;    // of a layer group
  int32_t num_kv_heads = 0;  // this rank's
  int32_t head_dim = 0;
  size_t summaries = 0;      // offset in the layer of the heads' summaries
  size_t summary_bytes = 0;  // of a head; 0: there are none
  size_t layer_stride = 0;  // rounded up to 64
  size_t page_stride = 0;   // rounded up to 4,096

  KvFormat format() const { return {k.type, v.type}; }
  /// Of a row of `rows` (k or v) in the page.
  size_t row_offset(const PageRows& rows, int layer, int kv_head, int token) const {
    return static_cast<size_t>(layer) * layer_stride + rows.offset + static_cast<size_t>(kv_head) * rows.head_stride +
           static_cast<size_t>(token) * rows.row_bytes;
  }
  /// Of the row's scale or scales.
  size_t scale_offset(const PageRows& rows, int layer, int kv_head, int token) const {
    return static_cast<size_t>(layer) * layer_stride + rows.scales + static_cast<size_t>(kv_head * page_tokens + token) * rows.scale_bytes;
  }
  /// Numbers in each half of a summary: head_dim and zeros. F16, rounded away from the keys between them; of full pages only.
  int32_t summary_dims() const { return (head_dim + 7) / 8 * 8; }
  size_t summary_offset(int layer, int kv_head) const { return static_cast<size_t>(layer) * layer_stride + summaries + static_cast<size_t>(kv_head) * summary_bytes; }
  bool operator==(const PageLayout&) const = default;
};

/// Throws kInvalidValue for a format without a name, and for 4-bit rows of more than kMostQ4Dims.
PageLayout make_page_layout(KvFormat format, int page_tokens, int num_layers, int num_kv_heads, int head_dim, bool summaries = false);

/// A format as the configuration writes it: "Q8", "Q8/F16" for 8-bit keys and 16-bit values.
struct NamedKvFormat {
  std::string_view name;
  KvFormat format;
};
inline constexpr std::array kKvFormats = {
    NamedKvFormat{"F16", KvType::kF16}, NamedKvFormat{"BF16", KvType::kBF16}, NamedKvFormat{"F32", KvType::kF32},
    NamedKvFormat{"Q8", KvType::kQ8},   NamedKvFormat{"Q8/F16", {KvType::kQ8, KvType::kF16}},
    NamedKvFormat{"Q4", KvType::kQ4},   NamedKvFormat{"Q8/Q4", {KvType::kQ8, KvType::kQ4}}, NamedKvFormat{"F8", KvType::kF8},
};
/// "other" for one that has no name.
std::string_view kv_format_name(KvFormat format);

}  // namespace terrace
