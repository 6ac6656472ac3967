#include "tests/support/kernels/random_page.h"

#include <cmath>
#include <random>
#include <vector>

#include "kernels/cpu/row_ops.h"

namespace terrace {

void fill_random_rows(const PageLayout& layout, unsigned seed, std::byte* page) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> row(static_cast<size_t>(layout.head_dim));
  for (int layer = 0; layer < layout.num_layers; ++layer) {
    for (int head = 0; head < layout.num_kv_heads; ++head) {
      for (int token = 0; token < layout.page_tokens; ++token) {
        for (const PageRows* rows : {&layout.k, &layout.v}) {
          const float size = std::exp2(normal(random));
          for (float& x : row) x = size * normal(random);
          kScalarRowOps.store_kv(row.data(), layout.head_dim, rows->type, page + layout.row_offset(*rows, layer, head, token),
                                 page + layout.scale_offset(*rows, layer, head, token));
        }
      }
    }
  }
}

}  // namespace terrace
