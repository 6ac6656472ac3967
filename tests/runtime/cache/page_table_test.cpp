#include "runtime/cache/page_table.h"

#include <gtest/gtest.h>

#include "kernels/base/error.h"

namespace terrace {
namespace {

constexpr PageRef kFrame = {Tier::kDevice, 5};

TEST(PageTableTest, TheDigestTellsTheGroupOfAPage) {
  PageTables first(2, 2), second(2, 2);
  for (PageTables* tables : {&first, &second}) tables->open(1, 7);
  EXPECT_EQ(first.digest(), second.digest());
  first.map(1, 0, 0, kFrame);
  second.map(1, 1, 0, kFrame);
  EXPECT_NE(first.digest(), second.digest());
  EXPECT_EQ(first.pages(1, 0).size(), 1u);
  EXPECT_TRUE(first.pages(1, 1).empty());
  first.map(1, 1, 0, {Tier::kHost, 5});
  second.map(1, 0, 0, {Tier::kHost, 5});
  EXPECT_NE(first.digest(), second.digest());
  EXPECT_EQ(first.describe(), "slot 1 (sequence 7): 5 | host:5\n");
  for (PageTables* tables : {&first, &second}) tables->close(1);
  EXPECT_EQ(first.digest(), second.digest());
  EXPECT_EQ(first.digest(), 0u);
}

TEST(PageTableTest, RefusesPagesOutOfTurn) {
  PageTables tables(2, 2);
  tables.open(0, 1);
  tables.map(0, 1, 0, kFrame);
  EXPECT_THROW(tables.map(0, 2, 0, kFrame), Error);
  EXPECT_THROW(tables.map(0, 0, 1, kFrame), Error);
  EXPECT_THROW(tables.map(1, 0, 0, kFrame), Error);
  EXPECT_NO_THROW(tables.map(0, 1, 0, {}));
}

}  // namespace
}  // namespace terrace
