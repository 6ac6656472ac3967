#include "kernels/page_layout.h"

#include "kernels/base/error.h"

namespace terrace {
namespace {

size_t round_up(size_t value, size_t multiple) { return (value + multiple - 1) / multiple * multiple; }

size_t row_bytes(KvType type, int head_dim) {
  const auto dims = static_cast<size_t>(head_dim);
  switch (type) {
    case KvType::kF32: return 4 * dims;
    case KvType::kF16:
    case KvType::kBF16: return 2 * dims;
    case KvType::kQ4: return static_cast<size_t>(q4_code_bytes(head_dim));
    case KvType::kQ8:
    case KvType::kF8: break;
  }
  return dims;
}

size_t scale_bytes(KvType type, int head_dim) {
  if (type == KvType::kQ4) return static_cast<size_t>(q4_scales(head_dim)) * sizeof(uint16_t);
  return type == KvType::kQ8 ? sizeof(float) : 0;
}

}  // namespace

PageLayout make_page_layout(KvFormat format, int page_tokens, int num_layers, int num_kv_heads, int head_dim, bool summaries) {
  if (kv_format_name(format) == "other") throw Error(ErrorCode::kInvalidValue, "no kernel reads such pages: take a KV format of kKvFormats");
  if (head_dim > kMostQ4Dims && (format.k == KvType::kQ4 || format.v == KvType::kQ4)) {
    throw Error(ErrorCode::kInvalidValue, "heads of more than 2048 dims have no 4-bit pages: set cache.format to Q8");
  }
  PageLayout layout;
  layout.k.type = format.k;
  layout.v.type = format.v;
  layout.page_tokens = page_tokens;
  layout.num_layers = num_layers;
  layout.num_kv_heads = num_kv_heads;
  layout.head_dim = head_dim;
  size_t end = 0;
  for (PageRows* rows : {&layout.k, &layout.v}) {
    rows->offset = end;
    rows->row_bytes = row_bytes(rows->type, head_dim);
    rows->scale_bytes = scale_bytes(rows->type, head_dim);
    rows->head_stride = rows->row_bytes * static_cast<size_t>(page_tokens);
    end += rows->head_stride * static_cast<size_t>(num_kv_heads);
  }
  for (PageRows* rows : {&layout.k, &layout.v}) {
    if (!is_quantised(rows->type)) continue;
    rows->scales = round_up(end, sizeof(float));
    end = rows->scales + static_cast<size_t>(num_kv_heads * page_tokens) * rows->scale_bytes;
  }
  if (summaries) {
    layout.summaries = round_up(end, 64);
    layout.summary_bytes = 2 * static_cast<size_t>(layout.summary_dims()) * sizeof(uint16_t);
    end = layout.summaries + static_cast<size_t>(num_kv_heads) * layout.summary_bytes;
  }
  layout.layer_stride = round_up(end, 64);
  layout.page_stride = round_up(layout.layer_stride * static_cast<size_t>(num_layers), 4096);
  return layout;
}

std::string_view kv_format_name(KvFormat format) {
  for (const NamedKvFormat& named : kKvFormats) {
    if (named.format == format) return named.name;
  }
  return "other";
}

}  // namespace terrace
