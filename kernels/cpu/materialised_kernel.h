// The passes of materialised attention over a Lanes type (lanes.h), or one as wide again. Included by materialised_*.cpp only.
#pragma once

#include "kernels/cpu/float_math.h"
#include "kernels/cpu/materialised_attention.h"

namespace terrace {
namespace {

template <class Lanes>
void sum_four(const Lanes (&sums)[4], float* to) {
  Lanes::sum4(sums[0], sums[1], sums[2], sums[3], to);
}

template <class Lanes>
struct MaterialisedPasses {
  /// Four rows of queries against two keys at a time, so that a loaded key serves four.
  static void multiply_keys(const MaterialisedHead& head, int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; row += 4) {
      const float* q = head.q + row * head.q_stride;
      float* scores = head.scores + row * head.num_tokens;
      for (int64_t key = 0; key < head.num_tokens; key += 2) {
        Lanes sum[2][4] = {{Lanes::zero(), Lanes::zero(), Lanes::zero(), Lanes::zero()}, {Lanes::zero(), Lanes::zero(), Lanes::zero(), Lanes::zero()}};
        for (int64_t d = 0; d < head.head_dim; d += Lanes::kWidth) {
          const Lanes k0 = Lanes::load(head.k + key * head.head_dim + d);
          const Lanes k1 = Lanes::load(head.k + (key + 1) * head.head_dim + d);
          for (int i = 0; i < 4; ++i) {
            const Lanes x = Lanes::load(q + i * head.q_stride + d);
            sum[0][i] = Lanes::fma(x, k0, sum[0][i]);
            sum[1][i] = Lanes::fma(x, k1, sum[1][i]);
          }
        }
        for (int j = 0; j < 2; ++j) {
          float products[4];
          sum_four(sum[j], products);
          for (int i = 0; i < 4; ++i) scores[i * head.num_tokens + key + j] = products[i] * head.scale;
        }
      }
    }
  }

  static void softmax(const MaterialisedHead& head, int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      float* scores = head.scores + row * head.num_tokens;
      const int64_t seen = (row + Lanes::kWidth) / Lanes::kWidth * Lanes::kWidth;  // row + 1 keys, rounded up
      for (int64_t key = row + 1; key < seen; ++key) scores[key] = -__builtin_inff();
      Lanes largest = Lanes::load(scores);
      for (int64_t key = Lanes::kWidth; key < seen; key += Lanes::kWidth) largest = Lanes::max(largest, Lanes::load(scores + key));
      const Lanes max = Lanes::broadcast(Lanes::largest(largest));
      Lanes sum = Lanes::zero();
      for (int64_t key = 0; key < seen; key += Lanes::kWidth) {
        const Lanes weight = exp_below(Lanes::load(scores + key) - max);
        weight.store(scores + key);
        sum = sum + weight;
      }
      const Lanes factor = Lanes::broadcast(1.0f / Lanes::sum(sum));
      for (int64_t key = 0; key < seen; key += Lanes::kWidth) (Lanes::load(scores + key) * factor).store(scores + key);
      for (int64_t key = seen; key < head.num_tokens; key += Lanes::kWidth) Lanes::zero().store(scores + key);  // the mask
    }
  }

  /// Four rows of weights by two vectors of values at a time.
  static void multiply_values(const MaterialisedHead& head, int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; row += 4) {
      const float* weights = head.scores + row * head.num_tokens;
      for (int64_t d = 0; d < head.head_dim; d += 2 * Lanes::kWidth) {
        Lanes sum[4][2] = {{Lanes::zero(), Lanes::zero()}, {Lanes::zero(), Lanes::zero()}, {Lanes::zero(), Lanes::zero()}, {Lanes::zero(), Lanes::zero()}};
        for (int64_t key = 0; key < head.num_tokens; ++key) {
          const Lanes v0 = Lanes::load(head.v + key * head.head_dim + d);
          const Lanes v1 = Lanes::load(head.v + key * head.head_dim + d + Lanes::kWidth);
          for (int i = 0; i < 4; ++i) {
            const Lanes weight = Lanes::broadcast(weights[i * head.num_tokens + key]);
            sum[i][0] = Lanes::fma(weight, v0, sum[i][0]);
            sum[i][1] = Lanes::fma(weight, v1, sum[i][1]);
          }
        }
        for (int i = 0; i < 4; ++i) {
          float* out = head.out + (row + i) * head.out_stride + d;
          sum[i][0].store(out);
          sum[i][1].store(out + Lanes::kWidth);
        }
      }
    }
  }

  static void multiply_keys_plainly(const MaterialisedHead& head, int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const float* q = head.q + row * head.q_stride;
      for (int64_t key = 0; key < head.num_tokens; ++key) {
        Lanes sum = Lanes::zero();
        for (int64_t d = 0; d < head.head_dim; d += Lanes::kWidth) sum = Lanes::fma(Lanes::load(q + d), Lanes::load(head.k + key * head.head_dim + d), sum);
        head.scores[row * head.num_tokens + key] = Lanes::sum(sum) * head.scale;
      }
    }
  }

  static void multiply_values_plainly(const MaterialisedHead& head, int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      float* out = head.out + row * head.out_stride;
      for (int64_t d = 0; d < head.head_dim; d += Lanes::kWidth) Lanes::zero().store(out + d);
      for (int64_t key = 0; key < head.num_tokens; ++key) {
        const Lanes weight = Lanes::broadcast(head.scores[row * head.num_tokens + key]);
        for (int64_t d = 0; d < head.head_dim; d += Lanes::kWidth) {
          Lanes::fma(weight, Lanes::load(head.v + key * head.head_dim + d), Lanes::load(out + d)).store(out + d);
        }
      }
    }
  }

  static constexpr MaterialisedKernels kTable = {multiply_keys, softmax, multiply_values, multiply_keys_plainly, multiply_values_plainly};
};

}  // namespace
}  // namespace terrace
