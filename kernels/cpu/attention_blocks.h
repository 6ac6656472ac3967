// The inner loops of attention (attention_kernel.h): products in register tiles of up to 3 rows x 4 keys (scores) or 3
// rows x 32 dims (values), the exponentials of a row, and the merge of two pieces. Each fixes its order of
// accumulation.
#pragma once

#include "kernels/attention_split.h"
#include "kernels/cpu/float_math.h"

namespace terrace {
namespace {

/// state and its LSE take in the next piece to the right.
template <class Lanes>
void merge_piece(float* state, float& state_lse, const float* piece, float piece_lse, int32_t dims) {
  const float largest = state_lse > piece_lse ? state_lse : piece_lse;
  const float left = exp_one<Lanes>(state_lse - largest);
  const float right = exp_one<Lanes>(piece_lse - largest);
  const float total = left + right;
  const Lanes left_share = Lanes::broadcast(left / total);
  const Lanes right_share = Lanes::broadcast(right / total);
  int32_t d = 0;
  for (; d + kLanes <= dims; d += kLanes) {
    Lanes::fma(Lanes::load(piece + d), right_share, Lanes::load(state + d) * left_share).store(state + d);
  }
  for (; d < dims; ++d) state[d] = __builtin_fmaf(piece[d], right / total, state[d] * (left / total));
  state_lse = largest + log_one<Lanes>(total);
}

/// scores[r][j] = dot(q[r], k[j]); rows of q and k lie `dims` apart, a multiple of 8, and rows of scores
/// kAttentionSplit.
template <class Lanes, class Element, int kRows>
void score_rows(const float* q, const Element* k, int32_t num_keys, int32_t dims, float* scores) {
  int32_t j = 0;
  for (; j + 4 <= num_keys; j += 4, k += 4 * dims) {
    Lanes sum[kRows][4];
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
      for (int c = 0; c < 4; ++c) sum[r][c] = Lanes::zero();
    }
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

/// out[r] += sum over j of p[r][j] * v[j], in order of j, for kVectors * 8 dims from `out`, `v`.
template <class Lanes, class Element, int kRows, int kVectors>
void add_values(const float* p, const Element* v, int32_t num_keys, int32_t dims, float* out) {
  Lanes sum[kRows][kVectors];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
    for (int c = 0; c < kVectors; ++c) sum[r][c] = Lanes::load(out + r * dims + c * kLanes);
  }
  for (int32_t j = 0; j < num_keys; ++j) {
    Lanes weight[kRows];
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) weight[r] = Lanes::broadcast(p[r * kAttentionSplit + j]);
#pragma GCC unroll 8
    for (int c = 0; c < kVectors; ++c) {
      const Lanes value = Lanes::load(v + j * dims + c * kLanes);
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) sum[r][c] = Lanes::fma(weight[r], value, sum[r][c]);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
    for (int c = 0; c < kVectors; ++c) sum[r][c].store(out + r * dims + c * kLanes);
  }
}

template <class Lanes, class Element, int kRows>
void add_value_rows(const float* p, const Element* v, int32_t num_keys, int32_t dims, float* out) {
  int32_t d = 0;
  for (; d + 4 * kLanes <= dims; d += 4 * kLanes)
    add_values<Lanes, Element, kRows, 4>(p, v + d, num_keys, dims, out + d);
  for (; d < dims; d += kLanes) add_values<Lanes, Element, kRows, 1>(p, v + d, num_keys, dims, out + d);
}

/// Turns n scores into exp(score - max) and returns their log-sum-exp; `sum` is the sum of the results.
template <class Lanes>
float softmax_row(float* scores, int32_t n, float& sum) {
  constexpr float kMinusInfinity = -__builtin_inff();
  const int32_t padded = (n + kLanes - 1) / kLanes * kLanes;
  for (int32_t j = n; j < padded; ++j) scores[j] = kMinusInfinity;
  Lanes most = Lanes::load(scores);
  for (int32_t j = kLanes; j < padded; j += kLanes) most = Lanes::max(most, Lanes::load(scores + j));
  const float largest = Lanes::largest(most);
  const Lanes offset = Lanes::broadcast(largest);
  Lanes total = Lanes::zero();
  for (int32_t j = 0; j < padded; j += kLanes) {
    const Lanes weight = exp_below(Lanes::load(scores + j) - offset);
    weight.store(scores + j);
    total = total + weight;
  }
  sum = Lanes::sum(total);
  return largest + log_one<Lanes>(sum);
}

}  // namespace
}  // namespace terrace
