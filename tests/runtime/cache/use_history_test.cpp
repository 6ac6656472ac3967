#include "runtime/cache/use_history.h"

namespace terrace {
namespace {

TEST(UseHistoryTest, CountsUsesOfAPageUntilTheyAreTooLongAgo) {
  UseHistory history(8);
  EXPECT_EQ(history.num_uses(1), 0);
  history.use(1, PageKind::kNew, 4);
  history.use(1, PageKind::kTwice, 4);
  EXPECT_EQ(history.num_uses(1), 2);
  for (uint64_t key = 10; key < 18; ++key) history.use(key, PageKind::kNew, 4);
  EXPECT_EQ(history.num_uses(1), 0);
  EXPECT_EQ(history.num_uses(17), 1);
}

TEST(UseHistoryTest, KnowingNothingPrefersWhatWasUsedLast) {
  const UseHistory history(1024);
  EXPECT_GT(history.density(PageKind::kNew, 0), history.density(PageKind::kNew, 100));
  EXPECT_GT(history.density(PageKind::kNew, 100), history.density(PageKind::kNew, 10000));
}

// Pages of one kind come back after 1,000 uses, those of the other never.
TEST(UseHistoryTest, LearnsWhichKindComesBackAndWhen) {
  UseHistory history(1 << 14);
  uint64_t next = 1;
  for (int round = 0; round < 20; ++round) {
    const uint64_t first = next;
    for (int i = 0; i < 100; ++i) history.use(next++, PageKind::kTwice, 100);
    for (int i = 0; i < 900; ++i) history.use(next++, PageKind::kEnd, 100);
    for (uint64_t key = first; key < first + 100; ++key) history.use(key, PageKind::kEnd, 100);
  }
  EXPECT_GT(history.density(PageKind::kTwice, 0), 10 * history.density(PageKind::kEnd, 0));
  EXPECT_GT(history.density(PageKind::kTwice, 900), 2 * history.density(PageKind::kTwice, 0)) << "its use is near";
  EXPECT_LT(history.density(PageKind::kTwice, 4000), history.density(PageKind::kTwice, 900))
      << "it should have been used long ago";
  EXPECT_NEAR(history.mean_gap(), 1000, 1);
}

TEST(UseHistoryTest, TellsHowMuchOfWhatComesBackATierOfTheLastUsesHolds) {
  UseHistory history(1 << 12);
  for (int i = 0; i < 3000; ++i) history.use(static_cast<uint64_t>(i % 300), PageKind::kOften, 400);
  EXPECT_EQ(history.recent_share(), 1);
  for (int i = 0; i < 3000; ++i) history.use(static_cast<uint64_t>(i % 300), PageKind::kOften, 100);
  EXPECT_LT(history.recent_share(), 0.6);
}

}  // namespace
}  // namespace terrace
