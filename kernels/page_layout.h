// Where each K and V row lies inside a page (LAW 2): [layer][K|V][kv_head][token][head_dim], one contiguous block per rank.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/base/dtype.h"

namespace terrace {

/// Strides in bytes; a page's address is pool + frame * page_stride.
struct PageLayout {
  DType dtype = DType::kF16;  // F16, BF16 or F32
  int32_t page_tokens = 16;
  int32_t num_layers = 0;
  int32_t num_kv_heads = 0;  // this rank's
  int32_t head_dim = 0;
  size_t row_bytes = 0;     // one token of one head
  size_t head_stride = 0;   // page_tokens rows
  size_t v_offset = 0;      // from a layer's K to its V
  size_t layer_stride = 0;  // rounded up to 64
  size_t page_stride = 0;   // rounded up to 4,096

  size_t k_offset(int layer, int kv_head, int token) const {
    return static_cast<size_t>(layer) * layer_stride + static_cast<size_t>(kv_head) * head_stride + static_cast<size_t>(token) * row_bytes;
  }
  bool operator==(const PageLayout&) const = default;
};

PageLayout make_page_layout(DType dtype, int page_tokens, int num_layers, int num_kv_heads, int head_dim);

}  // namespace terrace
