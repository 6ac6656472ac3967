#include "runtime/cache/page_ages.h"

#include <gtest/gtest.h>

namespace terrace {
namespace {

CachedPage let_go_at(int64_t second) {
  CachedPage page;
  page.let_go_second = second;
  return page;
}

TEST(PageAgesTest, PagesGrowOldUntilTheyAreHeldAgain) {
  PageAges ages;
  ages.tick(50'000);
  CachedPage page = let_go_at(50'000);
  ages.add(page);
  ages.add(let_go_at(INT64_MIN));  // found on disk: nobody knows
  const std::pair<int64_t, size_t> expected[] = {{0, 0}, {9, 0}, {10, 1}, {59, 1}, {60, 2}, {599, 2}, {600, 3}, {3599, 3}, {3600, 4}, {1'000'000, 4}};
  for (const auto& [age, bucket] : expected) {
    ages.tick(50'000 + age);
    PageAgeCounts counts;
    ++counts.idle[bucket];
    ++counts.idle.back();
    EXPECT_EQ(ages.counts(), counts) << "after " << age << " s";
  }
  ages.take_out(page);
  ++page.holds;
  ages.add(page);
  EXPECT_EQ(ages.counts().held, 1);
  EXPECT_EQ(ages.counts().idle.back(), 1);
}

}  // namespace
}  // namespace terrace
