#include "kernels/cpu/materialised_attention.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <utility>
#include <vector>

#include "kernels/base/thread_pool.h"
#include "kernels/cpu/isa.h"

namespace terrace {
namespace {

constexpr int64_t kTokens = 48, kDim = 64;

std::vector<float> random_values(int64_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) value = normal(random);
  return values;
}

TEST(MaterialisedAttentionTest, IsCausalSoftmaxAttention) {
  const std::vector<float> q = random_values(kTokens * kDim, 1), k = random_values(kTokens * kDim, 2), v = random_values(kTokens * kDim, 3);
  ThreadPool pool(2);
  for (const auto& [isa, plainly] : {std::pair(Isa::kScalar, false), {Isa::kScalar, true}, {Isa::kAvx2, false}, {Isa::kAvx2, true}, {Isa::kAvx512, false}, {Isa::kAvx512, true}}) {
    if (detect_isa() < isa) continue;
    std::vector<float> scores(kTokens * kTokens), out(kTokens * kDim);
    run_materialised(pool, materialised_kernels(isa), plainly,
                     {q.data(), k.data(), v.data(), scores.data(), out.data(), kDim, kDim, kTokens, kDim, 0.25f});
    for (int64_t row = 0; row < kTokens; ++row) {
      std::vector<double> weights, expected(kDim);
      double sum = 0;
      for (int64_t key = 0; key <= row; ++key) {
        double product = 0;
        for (int64_t d = 0; d < kDim; ++d) product += double{q[row * kDim + d]} * k[key * kDim + d];
        sum += weights.emplace_back(std::exp(0.25 * product));
      }
      for (int64_t key = 0; key <= row; ++key) {
        for (int64_t d = 0; d < kDim; ++d) expected[d] += weights[key] / sum * v[key * kDim + d];
      }
      for (int64_t d = 0; d < kDim; ++d) ASSERT_NEAR(out[row * kDim + d], expected[d], 1e-5) << row << " " << d << " isa " << static_cast<int>(isa) << " plainly " << plainly;
    }
  }
}

}  // namespace
}  // namespace terrace
