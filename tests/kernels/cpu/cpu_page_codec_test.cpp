// Pages stored in 8 bits: what is stored is the nearest that 8 bits hold, what comes back is what was stored, on every ISA the same bits.
#include "kernels/cpu/cpu_page_codec.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "kernels/base/error.h"
#include "kernels/cpu/isa.h"
#include "tests/support/kernels/random_page.h"
#include "tests/support/kernels/stored_row.h"

namespace terrace {
namespace {

using Page = std::vector<std::byte>;

PageLayout layout_of(KvFormat format, int head_dim) { return make_page_layout(format, 4, 2, 3, head_dim); }

Page random_page(const PageLayout& layout) {
  Page page(layout.page_stride, std::byte{0x5a});  // what is padding
  fill_random_rows(layout, 7, page.data());
  return page;
}

Page encoded(const CpuPageCodec& codec, const Page& page, const PageLayout& stored) {
  Page out(stored.page_stride, std::byte{0x33});
  codec.encode(page.data(), out.data());
  return out;
}

Page decoded(const CpuPageCodec& codec, const Page& stored, const PageLayout& device) {
  Page out(device.page_stride, std::byte{0x5a});
  codec.decode(stored.data(), out.data());
  return out;
}

/// The largest difference of a row's values, in hundredths of that row's largest: of all rows.
double largest_difference(const Page& a, const Page& b, const PageLayout& layout) {
  double largest = 0;
  for (int i = 0; i < layout.num_layers * layout.num_kv_heads * layout.page_tokens; ++i) {
    const int layer = i % layout.num_layers, head = i / layout.num_layers % layout.num_kv_heads, token = i / layout.num_layers / layout.num_kv_heads;
    for (const PageRows* rows : {&layout.k, &layout.v}) {
      const std::vector<double> x = stored_row(a.data(), layout, *rows, layer, head, token), y = stored_row(b.data(), layout, *rows, layer, head, token);
      double most = 0, difference = 0;
      for (size_t d = 0; d < x.size(); ++d) {
        most = std::max(most, std::abs(x[d]));
        difference = std::max(difference, std::abs(x[d] - y[d]));
      }
      largest = std::max(largest, 100 * difference / most);
    }
  }
  return largest;
}

const KvFormat kFormats[] = {KvType::kF16, KvType::kBF16, KvType::kF32, {KvType::kQ8, KvType::kF16}};

TEST(CpuPageCodecTest, StoredRowsAreTheNearestThat8BitsHold) {
  for (const KvFormat format : kFormats) {
    for (const int head_dim : {64, 80, 20}) {
      const PageLayout device = layout_of(format, head_dim), stored = layout_of(KvType::kQ8, head_dim);
      const Page page = random_page(device);
      const Page bytes = encoded(CpuPageCodec(device, stored, kScalarRowOps), page, stored);
      for (const bool keys : {true, false}) {
        const PageRows &from = keys ? device.k : device.v, &to = keys ? stored.k : stored.v;
        std::vector<double> wanted = stored_row(page.data(), device, from, 1, 2, 3);
        if (keys && !is_rotated_key(from.type)) wanted = hadamard(wanted, rotated_dims(head_dim));
        const std::vector<double> found = stored_row(bytes.data(), stored, to, 1, 2, 3);
        double most = 0;
        for (const double x : wanted) most = std::max(most, std::abs(x));
        for (size_t d = 0; d < wanted.size(); ++d) {
          EXPECT_NEAR(found[d], wanted[d], most / 127 * 0.5001) << kv_format_name(format) << ", " << head_dim << " dims, " << (keys ? "key" : "value") << ", dim " << d;
        }
      }
    }
  }
}

// Rounding of a turned key is spread over its dims, so no value is off by more than a few hundredths; again and again it stays about there.
TEST(CpuPageCodecTest, PagesComeBackAndTenRoundsCostLittleMoreThanOne) {
  for (const KvFormat format : kFormats) {
    const PageLayout device = layout_of(format, 64), stored = layout_of(KvType::kQ8, 64);
    const CpuPageCodec codec(device, stored, kScalarRowOps);
    const Page page = random_page(device);
    Page back = decoded(codec, encoded(codec, page, stored), device);
    const double once = largest_difference(page, back, device);
    EXPECT_GT(once, 0.1) << kv_format_name(format);
    EXPECT_LT(once, 1.5) << kv_format_name(format);
    for (int round = 1; round < 10; ++round) back = decoded(codec, encoded(codec, back, stored), device);
    EXPECT_LT(largest_difference(page, back, device), 1.5 * once) << kv_format_name(format);
    if (is_quantised(format.k)) {
      const auto begin = static_cast<std::ptrdiff_t>(device.row_offset(device.k, 1, 0, 0)), size = static_cast<std::ptrdiff_t>(device.k.head_stride);
      EXPECT_TRUE(std::equal(page.begin() + begin, page.begin() + begin + size, back.begin() + begin)) << "rows of 8 bits go as they are";
    }
  }
}

TEST(CpuPageCodecTest, AllIsasStoreAndYieldTheSameBytesAndNoPadding) {
  if (detect_isa() < Isa::kAvx2) GTEST_SKIP() << "this machine has no AVX2";
  for (const KvFormat format : kFormats) {
    for (const int head_dim : {64, 20}) {
      const PageLayout device = layout_of(format, head_dim), stored = layout_of(KvType::kQ8, head_dim);
      const CpuPageCodec scalar(device, stored, kScalarRowOps), avx2(device, stored, kAvx2RowOps);
      const Page page = random_page(device), bytes = encoded(scalar, page, stored);
      EXPECT_EQ(bytes, encoded(avx2, page, stored)) << kv_format_name(format) << ", " << head_dim << " dims";
      EXPECT_EQ(decoded(scalar, bytes, device), decoded(avx2, bytes, device)) << kv_format_name(format) << ", " << head_dim << " dims";
      EXPECT_EQ(bytes.back(), std::byte{0x33});
    }
  }
}

TEST(CpuPageCodecTest, RowsOf4BitsAreRefused) {
  for (const KvFormat format : {KvFormat(KvType::kQ4), KvFormat(KvType::kQ8, KvType::kQ4), KvFormat(KvType::kF8)}) {
    EXPECT_THROW(CpuPageCodec(layout_of(format, 64), layout_of(KvType::kQ8, 64), kScalarRowOps), Error);
  }
  EXPECT_THROW(CpuPageCodec(layout_of(KvType::kF16, 64), layout_of(KvType::kBF16, 64), kScalarRowOps), Error);
}

}  // namespace
}  // namespace terrace
