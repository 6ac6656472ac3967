#include "kernels/page_layout.h"

namespace terrace {
namespace {

size_t round_up(size_t value, size_t multiple) { return (value + multiple - 1) / multiple * multiple; }

}  // namespace

PageLayout make_page_layout(DType dtype, int page_tokens, int num_layers, int num_kv_heads, int head_dim) {
  PageLayout layout;
  layout.dtype = dtype;
  layout.page_tokens = page_tokens;
  layout.num_layers = num_layers;
  layout.num_kv_heads = num_kv_heads;
  layout.head_dim = head_dim;
  layout.row_bytes = dtype_bytes(dtype, head_dim);
  layout.head_stride = layout.row_bytes * static_cast<size_t>(page_tokens);
  layout.v_offset = layout.head_stride * static_cast<size_t>(num_kv_heads);
  layout.layer_stride = round_up(2 * layout.v_offset, 64);
  layout.page_stride = round_up(layout.layer_stride * static_cast<size_t>(num_layers), 4096);
  return layout;
}

}  // namespace terrace
