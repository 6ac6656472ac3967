#include "kernels/cpu/query_heads.h"

#include <algorithm>

namespace terrace {

void QueryHeads::set(const AttentionArgs& args) {
  begin_.assign(static_cast<size_t>(args.num_kv_heads) + 1, 0);
  for (const int32_t kv_head : args.kv_head_of_q) ++begin_[static_cast<size_t>(kv_head) + 1];
  most_ = *std::max_element(begin_.begin(), begin_.end());
  for (size_t i = 1; i < begin_.size(); ++i) begin_[i] += begin_[i - 1];
}

AttentionTile QueryHeads::tile(const AttentionArgs& args, int32_t token, int32_t kv_head, const uint32_t* frames) const {
  const PageLayout& layout = args.kv->layout;
  const int32_t layer = args.place.layer;
  AttentionTile tile;
  tile.q = args.q.row(token) + first(kv_head) * args.head_dim;
  tile.q_stride = args.q.stride;
  if (args.q_sinks.data != nullptr) {
    tile.q_sinks = args.q_sinks.row(token) + first(kv_head) * args.head_dim;
    tile.q_sinks_stride = args.q_sinks.stride;
  }
  tile.num_heads = count(kv_head);
  tile.head_dim = args.head_dim;
  tile.scale = args.scale;
  tile.soft_cap = args.soft_cap;
  tile.window = args.key_window();
  const size_t k_rows = layout.row_offset(layout.k, layer, kv_head, 0);
  tile.pool = args.kv->base + k_rows;
  tile.frames = frames;
  tile.page_stride = layout.page_stride;
  tile.v_offset = layout.row_offset(layout.v, layer, kv_head, 0) - k_rows;
  tile.k_scales = layout.scale_offset(layout.k, layer, kv_head, 0) - k_rows;
  tile.v_scales = layout.scale_offset(layout.v, layer, kv_head, 0) - k_rows;
  tile.page_tokens = layout.page_tokens;
  tile.format = layout.format();
  return tile;
}

}  // namespace terrace
