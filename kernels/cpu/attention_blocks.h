// The inner loops of attention (attention_kernel.h): products in register tiles of up to 3 rows x 4 keys (scores) or 3
// rows x 32 dims (values; on AVX-512 6 rows or 64 dims), the exponentials of a row, and the merge of two pieces. Each fixes its order of
// accumulation.
#pragma once

#include <cstddef>
#include <type_traits>

#include "kernels/attention_split.h"
#include "kernels/cpu/float_math.h"

namespace terrace {
namespace {

constexpr int32_t kColumns = 2 * kLanes;  // keys that are transposed and scored together

/// What two pieces' outputs count for in their merge, whose LSE is largest + log(total).
template <class Lanes>
struct Shares {
  Lanes largest, total, left, right;

  Shares(Lanes left_lse, Lanes right_lse) {
    largest = Lanes::max(left_lse, right_lse);
    left = exp_below(left_lse - largest);
    right = exp_below(right_lse - largest);
    total = left + right;
    left = left / total;
    right = right / total;
  }
};

/// state takes in the next piece to the right.
template <class Lanes>
void merge_outputs(float* state, float left_share, const float* piece, float right_share, int32_t dims) {
  const Lanes left = Lanes::broadcast(left_share), right = Lanes::broadcast(right_share);
  int32_t d = 0;
  for (; d + kLanes <= dims; d += kLanes) Lanes::fma(Lanes::load(piece + d), right, Lanes::load(state + d) * left).store(state + d);
  for (; d < dims; ++d) state[d] = __builtin_fmaf(piece[d], right_share, state[d] * left_share);
}

/// And its LSE.
template <class Lanes>
void merge_piece(float* state, float& state_lse, const float* piece, float piece_lse, int32_t dims) {
  const Shares<Lanes> shares(Lanes::broadcast(state_lse), Lanes::broadcast(piece_lse));
  merge_outputs<Lanes>(state, shares.left.first(), piece, shares.right.first(), dims);
  state_lse = shares.largest.first() + log_one<Lanes>(shares.total.first());
}

/// Asks for `bytes` of memory, which will be read soon: into L2, which has room for more requests under way than L1.
[[gnu::always_inline]] inline void fetch(const void* memory, size_t bytes) {
  for (size_t i = 0; i < bytes; i += 64) __builtin_prefetch(static_cast<const char*>(memory) + i, 0, 2);
}

/// The same for elements that may lie in a page.
template <class Element>
[[gnu::always_inline]] inline void fetch_elements(const Element* from, int32_t count) {
  fetch(from, static_cast<size_t>(count) * sizeof(Element));
}
[[gnu::always_inline]] inline void fetch_elements(const Unpacked*, int32_t) {}

/// scores[r][j] = dot(q[r], k[j]), `k` as it lies in a page; rows of q and k lie `dims` apart, a multiple of 8, and
/// rows of scores kAttentionSplit. Fetches as much from `ahead` on its way.
template <class Lanes, class Element, int kRows>
[[gnu::noinline]] void score_rows(const float* q, const Element* k, const Element* ahead, int32_t num_keys,
                                  int32_t dims, float* scores) {
  int32_t j = 0;
  for (; j + 4 <= num_keys; j += 4, k += 4 * dims, ahead += 4 * dims) {
    fetch_elements(ahead, 4 * dims);
    Lanes sum[kRows][4];
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
      for (int c = 0; c < 4; ++c) sum[r][c] = Lanes::zero();
    }
#pragma GCC unroll 4
    for (int32_t d = 0; d < dims; d += kLanes) {
      Lanes query[kRows];
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) query[r] = Lanes::load(q + r * dims + d);
#pragma GCC unroll 8
      for (int c = 0; c < 4; ++c) {
        const Lanes key = Lanes::load(k + c * dims + d);
#pragma GCC unroll 8
        for (int r = 0; r < kRows; ++r) sum[r][c] = Lanes::fma(query[r], key, sum[r][c]);
      }
    }
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r)
      Lanes::sum4(sum[r][0], sum[r][1], sum[r][2], sum[r][3], scores + r * kAttentionSplit + j);
  }
  for (; j < num_keys; ++j, k += dims) {
    Lanes sum[kRows];
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) sum[r] = Lanes::zero();
    for (int32_t d = 0; d < dims; d += kLanes) {
      const Lanes key = Lanes::load(k + d);
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) sum[r] = Lanes::fma(Lanes::load(q + r * dims + d), key, sum[r]);
    }
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) scores[r * kAttentionSplit + j] = Lanes::sum(sum[r]);
  }
}

/// One step of score_columns(): sum = the sum over dims a, a + 8, ... plus that over b, b + 8, ...
template <class Wide, int kRows>
[[gnu::always_inline]] inline void add_two_lanes(const float* q, const float* kt, int32_t dims, int a, int b,
                                                 Wide (&sum)[kRows][kColumns / Wide::kWidth]) {
  constexpr int kVectors = kColumns / Wide::kWidth;
  Wide left[kRows][kVectors], right[kRows][kVectors];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
    for (int c = 0; c < kVectors; ++c) left[r][c] = right[r][c] = Wide::zero();
  }
#pragma GCC unroll 4
  for (int32_t d = 0; d < dims; d += kLanes) {
    const float* left_keys = kt + (d + a) * kColumns;
    const float* right_keys = kt + (d + b) * kColumns;
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const Wide query = Wide::broadcast(q[r * dims + d + a]);
#pragma GCC unroll 8
      for (int c = 0; c < kVectors; ++c)
        left[r][c] = Wide::fma(query, Wide::load(left_keys + c * Wide::kWidth), left[r][c]);
    }
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const Wide query = Wide::broadcast(q[r * dims + d + b]);
#pragma GCC unroll 8
      for (int c = 0; c < kVectors; ++c)
        right[r][c] = Wide::fma(query, Wide::load(right_keys + c * Wide::kWidth), right[r][c]);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
    for (int c = 0; c < kVectors; ++c) sum[r][c] = left[r][c] + right[r][c];
  }
}

/// As score_rows() for kColumns keys, in the same order of operations, but with keys as lanes: kt[dims][kColumns]. What
/// is a lane of a sum there is a sum of its own here, over every eighth dim; the tree that joins them is that of
/// Lanes::sum(), without a shuffle.
template <class Wide, int kRows>
void score_columns(const float* q, const float* kt, int32_t dims, float* scores) {
  constexpr int kVectors = kColumns / Wide::kWidth;
  Wide half[2][kRows][kVectors];
#pragma GCC unroll 2
  for (int h = 0; h < 2; ++h) {
    Wide odd[kRows][kVectors];
    add_two_lanes<Wide, kRows>(q, kt, dims, 4 * h, 4 * h + 2, half[h]);
    add_two_lanes<Wide, kRows>(q, kt, dims, 4 * h + 1, 4 * h + 3, odd);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
      for (int c = 0; c < kVectors; ++c) half[h][r][c] = half[h][r][c] + odd[r][c];
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
    for (int c = 0; c < kVectors; ++c)
      (half[0][r][c] + half[1][r][c]).store(scores + r * kAttentionSplit + c * Wide::kWidth);
  }
}

/// out[r] += sum over j of p[r][j] * v[j], in order of j, for kVectors * kWidth dims from `out`, `v`. Fetches as much
/// from `ahead` on its way.
template <class Wide, class Element, int kRows, int kVectors>
[[gnu::always_inline]] inline void add_values(const float* p, const Element* v, const Element* ahead, int32_t num_keys,
                                              int32_t dims, float* out) {
  Wide sum[kRows][kVectors];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
    for (int c = 0; c < kVectors; ++c) sum[r][c] = Wide::load(out + r * dims + c * Wide::kWidth);
  }
#pragma GCC unroll 4
  for (int32_t j = 0; j < num_keys; ++j) {
    if (ahead != nullptr) fetch_elements(ahead + j * dims, kVectors * Wide::kWidth);
    Wide weight[kRows];
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) weight[r] = Wide::broadcast(p[r * kAttentionSplit + j]);
#pragma GCC unroll 8
    for (int c = 0; c < kVectors; ++c) {
      const Wide value = Wide::load(v + j * dims + c * Wide::kWidth);
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) sum[r][c] = Wide::fma(weight[r], value, sum[r][c]);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
    for (int c = 0; c < kVectors; ++c) sum[r][c].store(out + r * dims + c * Wide::kWidth);
  }
}

/// The same for all dims, a multiple of 8. `ahead`: none, or rows to fetch.
template <class Lanes, class Wide, class Element, int kRows>
[[gnu::noinline]] void add_value_rows(const float* p, const Element* v, const Element* ahead, int32_t num_keys,
                                      int32_t dims, float* out) {
  constexpr int kVectors = 32 / Wide::kWidth;
  const auto add = [&](int32_t d, auto vectors) {
    add_values<Wide, Element, kRows, vectors.value>(p, v + d, ahead == nullptr ? nullptr : ahead + d, num_keys, dims, out + d);
  };
  int32_t d = 0;
  if constexpr (kRows * kVectors < 8) {  // too few sums at work
    for (; d + 64 <= dims; d += 64) add(d, std::integral_constant<int, 2 * kVectors>{});
  }
  for (; d + 32 <= dims; d += 32) add(d, std::integral_constant<int, kVectors>{});
  for (; d < dims; d += kLanes) add_values<Lanes, Element, kRows, 1>(p, v + d, nullptr, num_keys, dims, out + d);
}

/// Turns n scores s into soft_cap * tanh(s / soft_cap).
template <class Lanes>
void cap_row(float* scores, int32_t n, float soft_cap) {
  const Lanes cap = Lanes::broadcast(soft_cap), inverse = Lanes::broadcast(1.0f / soft_cap);
  int32_t j = 0;
  for (; j + kLanes <= n; j += kLanes) (cap * tanh(Lanes::load(scores + j) * inverse)).store(scores + j);
  for (; j < n; ++j) scores[j] = (cap * tanh(Lanes::broadcast(scores[j]) * inverse)).first();
}

/// Turns n scores into exp(score - max) and returns that maximum; `sum` is the sum of the results. kRough: for weights that are rounded to bfloat16.
template <class Lanes, bool kRough>
float softmax_row(float* scores, int32_t n, float& sum) {
  constexpr float kMinusInfinity = -__builtin_inff();
  const int32_t padded = (n + Lanes::kWidth - 1) / Lanes::kWidth * Lanes::kWidth;
  for (int32_t j = n; j < padded; ++j) scores[j] = kMinusInfinity;
  Lanes most = Lanes::load(scores);
  for (int32_t j = Lanes::kWidth; j < padded; j += Lanes::kWidth) most = Lanes::max(most, Lanes::load(scores + j));
  const float largest = Lanes::largest(most);
  const Lanes offset = Lanes::broadcast(largest);
  Lanes total = Lanes::zero();
  for (int32_t j = 0; j < padded; j += Lanes::kWidth) {
    const Lanes score = Lanes::load(scores + j) - offset;
    const Lanes weight = kRough ? rough_exp_below(score) : exp_below(score);
    weight.store(scores + j);
    total = total + weight;
  }
  sum = Lanes::sum(total);
  return largest;
}

}  // namespace
}  // namespace terrace
