#include "runtime/cache/pages_in_sight.h"

#include <gtest/gtest.h>

namespace terrace {
namespace {

bool sees(const AttentionWindow& window, int32_t position, int32_t key) { return key > position - window.size || key < window.sinks; }

TEST(PagesInSightTest, LetsGoWhatNoLaterQuerySees) {
  for (const AttentionWindow window : {AttentionWindow{1, 0}, {5, 0}, {7, 3}, {16, 4}, {30, 9}}) {
    for (const int32_t page_tokens : {1, 4, 16}) {
      const PagesInSight pages(window, page_tokens, 8);
      for (int32_t position = 0; position < 100; ++position) {
        for (int32_t page = 0; page * page_tokens < position; ++page) {
          bool wanted = false;
          for (int32_t key = page * page_tokens; key < (page + 1) * page_tokens; ++key) wanted |= sees(window, position, key);
          ASSERT_EQ(pages.unseen_from(position).holds(page), !wanted) << "window " << window.size << ", page " << page << ", position " << position;
        }
      }
    }
  }
}

TEST(PagesInSightTest, BoundsThePagesOfAChunk) {
  for (const AttentionWindow window : {AttentionWindow{1, 0}, {5, 0}, {7, 3}, {16, 4}, {30, 9}}) {
    for (const int32_t chunk : {1, 3, 20}) {
      const PagesInSight pages(window, 4, chunk);
      for (int32_t begin = 0; begin < 200; ++begin) {
        const PagesInSight::Range unseen = pages.unseen_from(begin);
        const int32_t all = (begin + chunk + 3) / 4;
        ASSERT_LE(all - std::max(0, unseen.end - unseen.begin), pages.most_at_a_time(begin + chunk)) << "window " << window.size << ", position " << begin;
      }
    }
  }
}

TEST(PagesInSightTest, WithoutAWindowAllIsInSight) {
  const PagesInSight pages({}, 4, 8);
  EXPECT_FALSE(pages.limited());
  EXPECT_FALSE(pages.unseen_from(1000).holds(0));
  EXPECT_EQ(pages.most_at_a_time(1001), 251);
}

}  // namespace
}  // namespace terrace
