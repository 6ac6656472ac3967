#include "runtime/cache/use_history.h"

namespace terrace {
namespace {

TEST(UseHistoryTest, CountsUsesOfAPageUntilTheyAreTooLongAgo) {
  UseHistory history(8);
  EXPECT_EQ(history.use(1, 4), 1);
  EXPECT_EQ(history.use(1, 4), 2);
  for (uint64_t key = 10; key < 18; ++key) EXPECT_EQ(history.use(key, 4), 1);
  EXPECT_EQ(history.use(1, 4), 1);
  EXPECT_EQ(history.use(17, 4), 2);
}

// Of each 1,000 pages the first 100 come back after 1,000 uses; the answers to their requests were short.
TEST(UseHistoryTest, LearnsFromPagesThatCameBackAndFromThoseThatDidNot) {
  UseHistory history(1 << 14);
  const auto kind = [](int32_t answer) { return PageKind::of(1, 0, {4, answer}); };
  uint64_t next = 1;
  for (int round = 0; round < 20; ++round) {
    const uint64_t first = next;
    for (int i = 0; i < 900; ++i) {
      history.use(next++, 100);
      history.set_kind(history.now() - 1, kind(i < 100 ? 3 : 300));
    }
    for (uint64_t key = first; key < first + 100; ++key) history.use(key, 100);
  }
  const int64_t now = history.now();
  EXPECT_GT(history.value(kind(3), now), 10 * history.value(kind(300), now));
  EXPECT_GT(history.value(kind(3), now - 600), history.value(kind(3), now)) << "its use is near";
}

TEST(UseHistoryTest, TellsHowMuchOfWhatComesBackATierOfTheLastUsesHolds) {
  UseHistory history(1 << 12);
  for (int i = 0; i < 3000; ++i) history.use(static_cast<uint64_t>(i % 300), 400);
  EXPECT_EQ(history.recent_share(), 1);
  for (int i = 0; i < 3000; ++i) history.use(static_cast<uint64_t>(i % 300), 100);
  EXPECT_LT(history.recent_share(), 0.6);
}

}  // namespace
}  // namespace terrace
