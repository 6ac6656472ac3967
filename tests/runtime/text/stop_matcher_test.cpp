#include "runtime/text/stop_matcher.h"

#include <gtest/gtest.h>

#include <random>

namespace terrace {
namespace {

TEST(StopMatcherTest, CutsAtTheFirstStopString) {
  StopMatcher matcher({"END", "\n\n"});
  EXPECT_EQ(matcher.push("one EN"), "one ");
  EXPECT_EQ(matcher.push("E "), "ENE ");
  EXPECT_EQ(matcher.push("two\n"), "two");
  EXPECT_EQ(matcher.push("\nthree END"), "");
  EXPECT_TRUE(matcher.stopped());
  EXPECT_EQ(matcher.finish(), "");
}

TEST(StopMatcherTest, GivesBackWhatNeverBecameAStop) {
  StopMatcher matcher({"<end>"});
  EXPECT_EQ(matcher.push("a<en"), "a");
  EXPECT_EQ(matcher.finish(), "<en");
}

TEST(StopMatcherTest, ChunkingDoesNotMatter) {
  std::mt19937 rng(5);
  for (int round = 0; round < 500; ++round) {
    std::string text;
    for (int i = 0; i < 30; ++i) text += "ab"[rng() % 2];
    const std::vector<std::string> stops = {"abab", "bbb"};
    const size_t cut = std::min(text.find(stops[0]), text.find(stops[1]));
    StopMatcher matcher(stops);
    std::string out;
    for (size_t at = 0; at < text.size();) {
      const size_t length = 1 + rng() % 4;
      out += matcher.push(std::string_view(text).substr(at, length));
      at += length;
    }
    out += matcher.finish();
    ASSERT_EQ(out, text.substr(0, cut)) << text;
    ASSERT_EQ(matcher.stopped(), cut != std::string::npos);
  }
}

}  // namespace
}  // namespace terrace
