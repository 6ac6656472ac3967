// The attention kernels of every ISA against the scalar ones, tile by tile: the same bits, AVX-512's by emulation too.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/base/half.h"
#include "kernels/cpu/attention_tile.h"
#include "kernels/cpu/isa.h"
#include "kernels/cpu/row_ops.h"
#include "kernels/page_layout.h"
#include "tests/support/kernels/emulated_attention.h"
#include "tests/support/kernels/random_matrix.h"

namespace terrace {
namespace {

struct NamedKernels {
  const char* name;
  const AttentionKernels& kernels;
};

std::vector<NamedKernels> faster_kernels() {
  std::vector<NamedKernels> all;
  if (detect_isa() >= Isa::kAvx2) {
    all.push_back({"avx2", kAvx2Attention});
    all.push_back({"emulated avx512", kEmulatedAvx512Attention});
  }
  if (detect_isa() >= Isa::kAvx512) all.push_back({"avx512", kAvx512Attention});
  return all;
}

struct Shape {
  int32_t num_tokens, num_heads, head_dim, kv_end, page_tokens, kv_begin = 0;
  AttentionWindow window = {};
  float soft_cap = 0;
};

/// One KV head's pages of random values, in order; what lies beyond kv_end is NaN (of quantised rows, the scale is).
class TileWorld {
 public:
  TileWorld(const Shape& shape, KvFormat format)
      : shape_(shape), layout_(make_page_layout(format, shape.page_tokens, 1, 1, shape.head_dim)) {
    const int32_t pages = (shape.kv_end + shape.page_tokens - 1) / shape.page_tokens;
    pool_.assign(static_cast<size_t>(pages) * layout_.page_stride, std::byte{0xff});
    for (int32_t page = 0; page < pages; ++page) frames_.push_back(static_cast<uint32_t>(page));
    const std::vector<float> values = random_floats(1, 2 * static_cast<int64_t>(shape.kv_end) * shape.head_dim);
    auto value = values.begin();
    for (int32_t key = 0; key < shape.kv_end; ++key) {
      for (const PageRows* rows : {&layout_.k, &layout_.v}) {
        store_row(*rows, key, &*value);
        value += shape.head_dim;
      }
    }
    q_ = random_floats(2, static_cast<int64_t>(shape.num_tokens) * shape.num_heads * shape.head_dim, 2.0f);
  }

  /// Outputs, then log-sum-exps.
  std::vector<float> run(const AttentionKernels& kernels) const {
    const int32_t rows = shape_.num_tokens * shape_.num_heads;
    std::vector<float> scratch(attention_scratch_floats(rows, shape_.head_dim));
    std::vector<float> result(q_.size() + static_cast<size_t>(rows));
    AttentionTile tile;
    tile.q = q_.data();
    tile.q_stride = shape_.num_heads * shape_.head_dim;
    tile.num_tokens = shape_.num_tokens;
    tile.num_heads = shape_.num_heads;
    tile.head_dim = shape_.head_dim;
    tile.scale = 0.2f;
    tile.first_position = shape_.kv_end - shape_.num_tokens;
    tile.kv_begin = shape_.kv_begin;
    tile.kv_end = shape_.kv_end;
    tile.window = shape_.window;
    tile.gap = shape_.window.gap(tile.first_position);
    tile.soft_cap = shape_.soft_cap;
    tile.pool = pool_.data();
    tile.frames = frames_.data();
    tile.v_offset = layout_.v.offset;
    tile.k_scales = layout_.k.scales;
    tile.v_scales = layout_.v.scales;
    tile.format = layout_.format();
    tile.page_stride = layout_.page_stride;
    tile.page_tokens = shape_.page_tokens;
    tile.out = result.data();
    tile.out_stride = tile.q_stride;
    tile.lse = result.data() + q_.size();
    tile.lse_stride = shape_.num_heads;
    tile.scratch = scratch.data();
    kernels.tiles({&tile, 1}, {});
    return result;
  }

 private:
  void store_row(const PageRows& rows, int32_t key, const float* values) {
    std::byte* page = pool_.data() + static_cast<size_t>(key / shape_.page_tokens) * layout_.page_stride;
    std::byte* row = page + layout_.row_offset(rows, 0, 0, key % shape_.page_tokens);
    if (rows.type == KvType::kQ4 || rows.type == KvType::kF8) {
      std::byte* scales = page + layout_.scale_offset(rows, 0, 0, key % shape_.page_tokens);
      return kScalarRowOps.store_kv(values, shape_.head_dim, rows.type, row, scales);
    }
    const float scale = 0.01f + 0.001f * static_cast<float>(key % 7);
    if (is_quantised(rows.type)) std::memcpy(page + layout_.scale_offset(rows, 0, 0, key % shape_.page_tokens), &scale, sizeof scale);
    for (int32_t d = 0; d < shape_.head_dim; ++d) {
      const uint16_t half = float_to_f16(values[d]);
      const auto code = static_cast<int8_t>(std::clamp(values[d] * 40, -127.0f, 127.0f));
      if (is_quantised(rows.type)) {
        std::memcpy(row + d, &code, 1);
      } else {
        std::memcpy(row + 2 * d, &half, 2);
      }
    }
  }

  Shape shape_;
  PageLayout layout_;
  std::vector<std::byte> pool_;
  std::vector<uint32_t> frames_;
  std::vector<float> q_;
};

constexpr Shape kShapes[] = {{1, 3, 64, 300, 16},  {2, 3, 64, 300, 16},   {7, 3, 64, 270, 16},      {33, 1, 64, 290, 32},
                             {11, 4, 80, 265, 16}, {5, 9, 20, 33, 16},    {64, 2, 16, 513, 8},      {3, 7, 128, 17, 1},
                             {1, 5, 96, 511, 64},  {13, 1, 256, 40, 256}, {20, 3, 64, 530, 16, 512},
                             {1, 3, 64, 300, 16, 0, {7, 0}, 2.0f},     {7, 3, 64, 270, 16, 0, {33, 4}},     {33, 1, 64, 290, 32, 0, {1, 17}, 1.0f},
                             {11, 4, 80, 265, 16, 0, {100, 1}},        {64, 2, 16, 513, 8, 256, {40, 0}},   {20, 3, 64, 300, 16, 0, {50, 20}, 3.0f},
                             {64, 2, 40, 900, 1, 0, {300, 260}, 0.5f}, {13, 1, 256, 40, 256, 0, {5, 3}, 9.0f}};

TEST(AttentionKernelsTest, EveryIsaYieldsTheScalarBits) {
  const std::vector<NamedKernels> faster = faster_kernels();
  if (faster.empty()) GTEST_SKIP() << "this machine runs the scalar kernels only";
  for (const KvFormat format : {KvFormat(KvType::kF16), KvFormat(KvType::kQ8), KvFormat(KvType::kQ8, KvType::kF16), KvFormat(KvType::kQ4), KvFormat(KvType::kQ8, KvType::kQ4), KvFormat(KvType::kF8)}) {
    for (const Shape& shape : kShapes) {
      const TileWorld world(shape, format);
      const std::vector<float> expected = world.run(kScalarAttention);
      for (const float value : expected) ASSERT_TRUE(std::isfinite(value));
      for (const NamedKernels& other : faster) {
        EXPECT_TRUE(same_bits(expected, world.run(other.kernels)))
            << kv_format_name(format) << " " << other.name << ": " << shape.num_tokens << " tokens, " << shape.num_heads << " heads of " << shape.head_dim;
      }
    }
  }
}

/// Queries, keys, weights and values lose up to 2^-9 of themselves each; what a score, a sum over head_dim, loses grows with the root of it.
TEST(AttentionKernelsTest, PairsOfBfloat16StayNearTheScalarResults) {
  std::vector<NamedKernels> all = {{"loops", kLoopPairsAttention}, {"tiles as loops", kLoopTilesAttention}};
  if (has_bf16_pairs()) all.push_back({"avx512_bf16", kBf16Attention});
  if (has_amx_bf16()) all.push_back({"amx", kAmxAttention});
  std::vector<Shape> shapes(std::begin(kShapes), std::end(kShapes));
  for (const int32_t head_dim : {32, 64, 96, 160, 256}) {
    shapes.push_back({43, 1, head_dim, 301, 16});
    shapes.push_back({20, 3, head_dim, 530, 16, 256, {37, 5}, 3.0f});
  }
  for (const KvFormat format : {KvFormat(KvType::kF16), KvFormat(KvType::kQ8), KvFormat(KvType::kQ8, KvType::kF16), KvFormat(KvType::kQ4), KvFormat(KvType::kQ8, KvType::kQ4), KvFormat(KvType::kF8)}) {
    for (const Shape& shape : shapes) {
      const TileWorld world(shape, format);
      const std::vector<float> expected = world.run(kScalarAttention);
      for (const NamedKernels& pairs : all) {
        const std::vector<float> actual = world.run(pairs.kernels);
        double most = 0, sum = 0;
        for (size_t i = 0; i < expected.size(); ++i) {
          ASSERT_TRUE(std::isfinite(actual[i])) << pairs.name << ": " << shape.num_tokens << " tokens, " << shape.num_heads << " heads of " << shape.head_dim << ", number " << i;
          most = std::max<double>(most, std::abs(actual[i] - expected[i]));
          sum += std::abs(actual[i] - expected[i]);
        }
        const bool exact = shape.num_tokens * shape.num_heads <= 30 || shape.head_dim % 32 != 0;
        EXPECT_LE(most, exact ? 0 : 0.008 * std::sqrt(shape.head_dim)) << kv_format_name(format) << " " << pairs.name << ": " << shape.num_tokens << " tokens, " << shape.head_dim;
        EXPECT_LE(sum / static_cast<double>(expected.size()), 0.004);
      }
    }
  }
}

}  // namespace
}  // namespace terrace
