// select_top on every backend: the right tokens in the right order, the parts of the log-sum-exp, and the same bits for
// any batch.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "tests/support/kernels/backend_list.h"
#include "tests/support/kernels/random_matrix.h"

namespace terrace {
namespace {

std::vector<int32_t> largest_columns(const std::vector<float>& logits, size_t count) {
  std::vector<int32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
    return logits[static_cast<size_t>(a)] > logits[static_cast<size_t>(b)];
  });
  order.resize(std::min(count, order.size()));
  return order;
}

class SelectTopTest : public BackendTest {
 protected:
  std::vector<TopLogits> select(const std::vector<float>& logits, int64_t cols, int count, int64_t padding = 1) {
    const auto rows = static_cast<int64_t>(logits.size()) / cols;
    TestMatrix matrix(*backend_, rows, cols, padding);
    matrix.set(logits);
    std::vector<TopLogits> out(static_cast<size_t>(rows));
    backend_->select_top(matrix.view(), count, out);
    return out;
  }
  void expect_selected(const std::vector<float>& logits, int count) {
    const TopLogits actual = select(logits, static_cast<int64_t>(logits.size()), count).front();
    const std::vector<int32_t> expected = largest_columns(logits, static_cast<size_t>(count));
    ASSERT_EQ(actual.top.size(), expected.size());
    for (size_t i = 0; i < expected.size(); ++i) {
      ASSERT_EQ(actual.top[i].token, expected[i]) << "rank " << i << " of " << logits.size();
      ASSERT_EQ(actual.top[i].logit, logits[static_cast<size_t>(expected[i])]);
    }
    const float largest = *std::max_element(logits.begin(), logits.end());
    double sum = 0;
    for (const float logit : logits) sum += std::exp(static_cast<double>(logit) - largest);
    EXPECT_EQ(actual.max, largest);
    EXPECT_NEAR(actual.sum_exp, sum, 2e-6 * sum);
  }
};
INSTANTIATE_TEST_SUITE_P(Backends, SelectTopTest, testing::ValuesIn(backend_cases()), backend_case_name);

TEST_P(SelectTopTest, FindsTheLargestOfAnyNumberOfColumns) {
  for (const int64_t cols : {1, 5, 31, 32, 33, 2047, 2049, 49152, 128256}) {
    for (const int count : {1, 2, 64}) expect_selected(random_floats(static_cast<uint64_t>(cols), cols, 4.0f), count);
  }
  expect_selected(random_floats(1, 3000), 5000);
}

TEST_P(SelectTopTest, PrefersTheSmallerOfEqualTokens) {
  std::vector<float> logits(5000, 1.0f);
  expect_selected(logits, 64);
  for (size_t i = 0; i < logits.size(); ++i) logits[i] = static_cast<float>(i * 7919 % 5);
  expect_selected(logits, 64);
  expect_selected(logits, 2000);
}

TEST_P(SelectTopTest, FindsTheLargestWhereTheyLieTogether) {
  std::vector<float> logits(20000);
  for (size_t i = 0; i < logits.size(); ++i) logits[i] = -std::abs(static_cast<float>(i) - 7777.25f);
  expect_selected(logits, 100);
}

TEST_P(SelectTopTest, LeavesOutMaskedColumns) {
  constexpr float kMasked = -std::numeric_limits<float>::infinity();
  std::vector<float> logits(6000, kMasked);
  logits[4321] = 2.0f;
  logits[17] = 1.0f;
  expect_selected(logits, 2);
  EXPECT_FLOAT_EQ(select(logits, 6000, 1).front().sum_exp, 1.0f + std::exp(-1.0f));
}

TEST_P(SelectTopTest, NeverSelectsNan) {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  std::vector<float> logits(5000, kNan);
  logits[40] = -std::numeric_limits<float>::infinity();
  logits[4000] = -3.0f;
  logits[2100] = -0.0f;
  logits[30] = 0.0f;
  const TopLogits actual = select(logits, 5000, 10).front();
  EXPECT_EQ(actual.max, 0.0f);
  ASSERT_EQ(actual.top.size(), 4u);
  const int32_t expected[] = {30, 2100, 4000, 40};
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(actual.top[i].token, expected[i]);
    EXPECT_EQ(std::signbit(actual.top[i].logit), std::signbit(logits[static_cast<size_t>(expected[i])]));
  }
}

TEST_P(SelectTopTest, BitsDoNotDependOnHowRowsLie) {
  const int64_t cols = 5002;
  const std::vector<float> logits = random_floats(6, 2 * cols, 5.0f);
  const std::vector<TopLogits> odd = select(logits, cols, 40), even = select(logits, cols, 40, 2);  // 16-byte aligned rows: the second
  for (size_t row = 0; row < 2; ++row) {
    EXPECT_EQ(odd[row].max, even[row].max);
    EXPECT_EQ(odd[row].sum_exp, even[row].sum_exp);
    ASSERT_EQ(odd[row].top.size(), even[row].top.size());
    for (size_t i = 0; i < odd[row].top.size(); ++i) EXPECT_EQ(odd[row].top[i].token, even[row].top[i].token);
  }
}

TEST_P(SelectTopTest, BitsDoNotDependOnTheBatchOrTheBackend) {
  const int64_t cols = 49152;
  const std::vector<float> logits = random_floats(5, 6 * cols, 5.0f);
  const std::vector<TopLogits> batch = select(logits, cols, 20);
  const std::unique_ptr<Backend> own = std::move(backend_);
  for (size_t row = 0; row < 6; ++row) {
    backend_ = GetParam().bit_equal_to_first ? backend_cases().front().make() : GetParam().make();
    const auto begin = logits.begin() + static_cast<int64_t>(row) * cols;
    const TopLogits alone = select({begin, begin + cols}, cols, 20).front();
    EXPECT_EQ(alone.max, batch[row].max);
    EXPECT_EQ(alone.sum_exp, batch[row].sum_exp);
    ASSERT_EQ(alone.top.size(), batch[row].top.size());
    for (size_t i = 0; i < alone.top.size(); ++i) EXPECT_EQ(alone.top[i].token, batch[row].top[i].token);
  }
}

}  // namespace
}  // namespace terrace
