#include "runtime/cache/return_model.h"

namespace terrace {
namespace {

TEST(ReturnModelTest, KnowingNothingPrefersWhatWasUsedLast) {
  const ReturnModel model;
  const PageKind kind;
  for (int64_t age = 0; age < 1'000'000; age = 2 * age + 1) EXPECT_GT(model.value(kind, age), model.value(kind, age + 1 + age)) << age;
}

TEST(ReturnModelTest, AnAgeLiesInItsSpan) {
  for (size_t span = 0; span + 1 < ReturnModel::kNumSpans; ++span) {
    EXPECT_EQ(ReturnModel::span_of(ReturnModel::span_start(span)), span);
    EXPECT_EQ(ReturnModel::span_of(ReturnModel::span_start(span + 1) - 1), span);
  }
}

TEST(ReturnModelTest, AKindIsWhatIsKnownOfThePagesRequest) {
  EXPECT_EQ(PageKind::of(1, 3, {}).place, 0);
  EXPECT_EQ(PageKind::of(1, 2, {4, 0}).place, 1);
  EXPECT_EQ(PageKind::of(1, 3, {4, 0}).place, 2);
  EXPECT_EQ(PageKind::of(1, 4, {4, 0}).place, 3);
  EXPECT_EQ(PageKind::of(1, 3, {}).answer, 0);
  EXPECT_EQ(PageKind::of(1, 3, {4, 0}).answer, 1);
  EXPECT_EQ(PageKind::of(1, 3, {4, 16}).answer, 6);
  EXPECT_EQ(PageKind::of(1, 3, {4, 1 << 30}).answer, PageKind::kMostAnswer);
  EXPECT_FALSE(PageKind::of(20, 0, {}).often);
  EXPECT_TRUE(PageKind::of(1000, 0, {}).often);
}

// Half of what was used twice comes back, a twentieth of the rest; and a fifth of that again where answers are long.
TEST(ReturnModelTest, FactorsOfWhatIsKnownMultiply) {
  ReturnModel model;
  const auto teach = [&](int32_t num_uses, int32_t answer, int returns) {
    const PageKind kind = PageKind::of(num_uses, 0, {4, answer});
    for (int i = 0; i < 100; ++i) i < returns ? model.returned(kind, 100) : model.waited(kind, ReturnModel::span_of(100));
  };
  for (int round = 0; round < 30; ++round) {
    teach(2, 2, 50);
    teach(2, 500, 10);
    teach(1, 2, 5);
    teach(1, 500, 1);
  }
  model.update_densities();
  const auto value = [&](int32_t num_uses, int32_t answer) { return model.value(PageKind::of(num_uses, 0, {4, answer}), 70); };
  EXPECT_NEAR(value(2, 2) / value(2, 500), 5, 1.5);
  EXPECT_NEAR(value(1, 2) / value(1, 500), 5, 1.5);
  EXPECT_GT(value(2, 2), 5 * value(1, 2));
}

// What was learnt from 10,000 pages is undone by 200.
TEST(ReturnModelTest, ForgetsWhatIsLongPast) {
  ReturnModel model;
  const PageKind short_answer = PageKind::of(1, 0, {4, 2}), long_answer = PageKind::of(1, 0, {4, 500});
  const auto teach = [&](const PageKind& returns, const PageKind& waits, int num_pages) {
    for (int i = 0; i < num_pages; ++i) {
      model.returned(returns, 100);
      model.waited(waits, ReturnModel::span_of(100));
    }
    model.update_densities();
  };
  teach(short_answer, long_answer, 5000);
  EXPECT_GT(model.value(short_answer, 70), model.value(long_answer, 70));
  for (int i = 0; i < 12; ++i) model.forget_half();
  teach(long_answer, short_answer, 100);
  EXPECT_GT(model.value(long_answer, 70), model.value(short_answer, 70));
}

}  // namespace
}  // namespace terrace
