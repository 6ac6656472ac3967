#include "kernels/cpu/page_summary.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "kernels/base/half.h"

namespace terrace {
void summarise_page(const PageLayout& layout, int32_t layer, const RowOps& ops, std::byte* page) {
  const auto dims = static_cast<size_t>(layout.head_dim), padded = static_cast<size_t>(layout.summary_dims());
  std::vector<float> row(dims), most(dims), least(dims);
  for (int32_t head = 0; head < layout.num_kv_heads; ++head) {
    std::ranges::fill(most, -std::numeric_limits<float>::infinity());
    std::ranges::fill(least, std::numeric_limits<float>::infinity());
    for (int32_t token = 0; token < layout.page_tokens; ++token) {
      ops.load_kv(page + layout.row_offset(layout.k, layer, head, token), page + layout.scale_offset(layout.k, layer, head, token), layout.head_dim, layout.k.type, row.data());
      for (size_t d = 0; d < dims; ++d) {
        most[d] = std::max(most[d], row[d]);
        least[d] = std::min(least[d], row[d]);
      }
    }
    auto* summary = reinterpret_cast<uint16_t*>(page + layout.summary_offset(layer, head));
    std::fill(summary, summary + 2 * padded, uint16_t{0});
    std::ranges::transform(most, summary, f16_from_above);
    std::ranges::transform(least, summary + padded, f16_from_below);
  }
}

}  // namespace terrace
