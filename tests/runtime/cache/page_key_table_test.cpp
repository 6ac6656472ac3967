// The table of keys against std::map, with keys that meet in one place.
#include "runtime/cache/page_key_table.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

namespace terrace {
namespace {

TEST(PageKeyTableTest, FindsWhatIsThereAndNothingElse) {
  std::mt19937_64 random(1);
  PageKeyTable table;
  std::map<uint64_t, PageId> expected;  // by the key's high half
  std::map<PageId, PageKey> keys;
  const auto find = [&](const PageKey& key) { return table.find(key, [&](PageId page) { return keys.at(page) == key; }); };
  for (int i = 0; i < 20'000; ++i) {
    const PageKey key = {random() % 40 * 1'000'003, random() % 2000};  // many share a hash, and runs are long
    const PageKey whole = {key.low, key.high * 64 + key.low % 40};
    const auto there = expected.find(whole.high);
    if (there == expected.end()) {
      EXPECT_EQ(find(whole), kNoPage);
      if (expected.size() >= 500) continue;
      const auto page = static_cast<PageId>(i);
      keys[page] = whole;
      expected[whole.high] = page;
      table.insert(whole, page);
    } else {
      ASSERT_EQ(find(whole), there->second);
      table.erase(whole, there->second);
      expected.erase(there);
    }
    ASSERT_EQ(table.size(), expected.size());
  }
  for (const auto& [high, page] : expected) EXPECT_EQ(find(keys.at(page)), page);
}

}  // namespace
}  // namespace terrace
