// The attention kernels of every ISA against the scalar ones, tile by tile: the same bits, AVX-512's by emulation too.
#include <gtest/gtest.h>

#include <random>

#include "kernels/base/half.h"
#include "kernels/cpu/attention_tile.h"
#include "kernels/cpu/isa.h"
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
};

/// One KV head's F16 pages of random values, in order, K before V; what lies beyond kv_end is NaN.
class TileWorld {
 public:
  explicit TileWorld(const Shape& shape) : shape_(shape) {
    const int32_t pages = (shape.kv_end + shape.page_tokens - 1) / shape.page_tokens;
    const int64_t page_floats = static_cast<int64_t>(shape.page_tokens) * shape.head_dim;
    pool_.assign(static_cast<size_t>(2 * pages * page_floats), float_to_f16(std::numeric_limits<float>::quiet_NaN()));
    const std::vector<float> values = random_floats(1, 2 * static_cast<int64_t>(shape.kv_end) * shape.head_dim);
    auto value = values.begin();
    for (int32_t page = 0; page < pages; ++page) {
      frames_.push_back(static_cast<uint32_t>(page));
      const int32_t tokens = std::min(shape.page_tokens, shape.kv_end - page * shape.page_tokens);
      for (const int64_t begin : {2 * page * page_floats, (2 * page + 1) * page_floats}) {
        for (int64_t i = 0; i < tokens * shape.head_dim; ++i)
          pool_[static_cast<size_t>(begin + i)] = float_to_f16(*value++);
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
    tile.pool = reinterpret_cast<const std::byte*>(pool_.data());
    tile.frames = frames_.data();
    tile.v_offset = static_cast<size_t>(shape_.page_tokens * shape_.head_dim) * sizeof(uint16_t);
    tile.page_stride = 2 * tile.v_offset;
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
  Shape shape_;
  std::vector<uint16_t> pool_;
  std::vector<uint32_t> frames_;
  std::vector<float> q_;
};

TEST(AttentionKernelsTest, EveryIsaYieldsTheScalarBits) {
  const Shape shapes[] = {{1, 3, 64, 300, 16},  {2, 3, 64, 300, 16},   {7, 3, 64, 270, 16},      {33, 1, 64, 290, 32},
                          {11, 4, 80, 265, 16}, {5, 9, 20, 33, 16},    {64, 2, 16, 513, 8},      {3, 7, 128, 17, 1},
                          {1, 5, 96, 511, 64},  {13, 1, 256, 40, 256}, {20, 3, 64, 530, 16, 512}};
  const std::vector<NamedKernels> faster = faster_kernels();
  if (faster.empty()) GTEST_SKIP() << "this machine runs the scalar kernels only";
  for (const Shape& shape : shapes) {
    const TileWorld world(shape);
    const std::vector<float> expected = world.run(kScalarAttention);
    for (const NamedKernels& other : faster) {
      EXPECT_TRUE(same_bits(expected, world.run(other.kernels)))
          << other.name << ": " << shape.num_tokens << " tokens, " << shape.num_heads << " heads of " << shape.head_dim;
    }
  }
}

}  // namespace
}  // namespace terrace
