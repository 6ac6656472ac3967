#include "kernels/page_layout.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "kernels/base/error.h"

namespace terrace {
namespace {

TEST(PageLayoutTest, RowsAndScalesOfEveryFormatLieSideBySide) {
  for (const NamedKvFormat& named : kKvFormats) {
    const PageLayout layout = make_page_layout(named.format, 8, 2, 3, 20);
    std::vector<std::pair<size_t, size_t>> ranges;  // begin, end
    for (int layer = 0; layer < 2; ++layer) {
      for (const PageRows* rows : {&layout.k, &layout.v}) {
        for (int head = 0; head < 3; ++head) {
          for (int token = 0; token < 8; ++token) {
            const size_t row = layout.row_offset(*rows, layer, head, token);
            ranges.emplace_back(row, row + rows->row_bytes);
            if (!is_quantised(rows->type)) continue;
            const size_t scale = layout.scale_offset(*rows, layer, head, token);
            EXPECT_EQ(scale % sizeof(float), 0u);
            ranges.emplace_back(scale, scale + rows->scale_bytes);
          }
        }
      }
    }
    std::sort(ranges.begin(), ranges.end());
    for (size_t i = 1; i < ranges.size(); ++i) ASSERT_LE(ranges[i - 1].second, ranges[i].first) << named.name;
    EXPECT_LE(ranges.back().second, layout.page_stride) << named.name;
  }
}

TEST(PageLayoutTest, EightBitsTakeHalfOf16AndFourBytesARow) {
  const PageLayout half = make_page_layout(KvType::kF16, 16, 30, 3, 64);
  const PageLayout q8 = make_page_layout(KvType::kQ8, 16, 30, 3, 64);
  const PageLayout mixed = make_page_layout({KvType::kQ8, KvType::kF16}, 16, 30, 3, 64);
  EXPECT_EQ(half.layer_stride, 16u * 3 * 2 * 128);
  EXPECT_EQ(q8.layer_stride, 16u * 3 * 2 * 68);
  EXPECT_EQ(mixed.layer_stride, 16u * 3 * (68 + 128));
  EXPECT_EQ(make_page_layout(KvType::kF8, 16, 30, 3, 64).layer_stride, 16u * 3 * 2 * 64);  // floats need no scale
}

TEST(PageLayoutTest, FourBitsTakeAQuarterOf16AndEightBytesARowOf64) {
  const PageLayout q4 = make_page_layout(KvType::kQ4, 16, 30, 3, 64);
  const PageLayout mixed = make_page_layout({KvType::kQ8, KvType::kQ4}, 16, 30, 3, 64);
  EXPECT_EQ(q4.layer_stride, 16u * 3 * 2 * 40);
  EXPECT_EQ(mixed.layer_stride, 16u * 3 * (68 + 40));
  EXPECT_EQ(make_page_layout(KvType::kQ4, 16, 1, 1, 80).k.row_bytes, 48u);  // the last run of 32 is filled up
}

TEST(PageLayoutTest, RefusesHeadsTooLargeFor4Bits) { EXPECT_THROW(make_page_layout(KvType::kQ4, 16, 1, 1, 2049), Error); }

TEST(PageLayoutTest, RefusesAFormatThatNoKernelReads) { EXPECT_THROW(make_page_layout({KvType::kF16, KvType::kQ8}, 16, 1, 1, 64), Error); }

}  // namespace
}  // namespace terrace
