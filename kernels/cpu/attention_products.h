// The products of attention, in register tiles of up to 6 rows: 16-bit integers (attention_codes.h), summed exactly in 32 bits. Hence no order
// of sums to keep, on any ISA, for any number of rows.
#pragma once

#include "kernels/cpu/attention_codes.h"

namespace terrace {
namespace {

/// sum[r][c] += a[r][0] b[0][c] + a[r][1] b[1][c] + ..., each a product of pairs; b[i][c] is a vector at b + i * step + vector(c). Where kFetch,
/// asks for memory `ahead` bytes further on its way.
template <class Pairs, int kRows, int kVectors, bool kFetch, class Vector>
[[gnu::always_inline]] inline void multiply(const int32_t* a, int32_t a_stride, const int32_t* b, int32_t step, int32_t steps, Vector vector,
                                            const std::byte* ahead, Pairs (&sum)[kRows][kVectors]) {
  for (int32_t i = 0; i < steps; ++i, b += step) {
    Pairs right[kVectors];
#pragma GCC unroll 8
    for (int c = 0; c < kVectors; ++c) {
      right[c] = Pairs::load(b + vector(c));
      if (kFetch && c * Pairs::kWidth % kPairGroup == 0) fetch(ahead + static_cast<size_t>(i * step + vector(c)) * sizeof(int32_t), 1);
    }
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const Pairs left = Pairs::broadcast(a[r * a_stride + i]);
#pragma GCC unroll 8
      for (int c = 0; c < kVectors; ++c) {
        sum[r][c] = Pairs::add_products(sum[r][c], left, right[c]);
        Pairs::pin(sum[r][c]);
      }
    }
  }
}

/// scores[r][j] = the products of query r and key j, times both scales, for kBlocks blocks of packed keys. Fetches as many from `ahead`.
template <class V, int kRows, int kBlocks, bool kFetch>
[[gnu::noinline]] void score_blocks(const int32_t* q, const float* q_scale, const int32_t* keys, const float* key_scale, int32_t dims,
                                    float* scores, int32_t scores_stride, const std::byte* ahead) {
  using Pairs = typename V::Pairs;
  using Wide = typename V::Wide;
  constexpr int kParts = kBlockKeys / Pairs::kWidth, kVectors = kBlocks * kParts;
  const int32_t pairs = dims / 2;
  Pairs sum[kRows][kVectors];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
    for (int c = 0; c < kVectors; ++c) sum[r][c] = Pairs::zero();
  }
  multiply<Pairs, kRows, kVectors, kFetch>(
      q, pairs, keys, kBlockKeys, pairs, [pairs](int c) { return c / kParts * pairs * kBlockKeys + c % kParts * Pairs::kWidth; }, ahead, sum);
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
    for (int c = 0; c < kVectors; ++c) {
      const Wide scale = Wide::load(key_scale + c * Pairs::kWidth) * Wide::broadcast(q_scale[r]);
      (sum[r][c].floats() * scale).store(scores + r * scores_stride + c * Pairs::kWidth);
    }
  }
}

/// sums[r][d] += the products of weights[r] and values over `steps` pairs of keys, for kVectors vectors of dims. Fetches as many
/// from `ahead`.
template <class V, int kRows, int kVectors, bool kFetch>
[[gnu::noinline]] void add_values(const int32_t* weights, int32_t weights_stride, const int32_t* values, int32_t steps, int32_t dims, int32_t* sums,
                                  const std::byte* ahead) {
  using Pairs = typename V::Pairs;
  Pairs sum[kRows][kVectors];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
    for (int c = 0; c < kVectors; ++c) sum[r][c] = Pairs::load(sums + r * dims + c * Pairs::kWidth);
  }
  multiply<Pairs, kRows, kVectors, kFetch>(weights, weights_stride, values, dims, steps, [](int c) { return c * Pairs::kWidth; }, ahead, sum);
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
    for (int c = 0; c < kVectors; ++c) sum[r][c].store(sums + r * dims + c * Pairs::kWidth);
  }
}

}  // namespace
}  // namespace terrace
