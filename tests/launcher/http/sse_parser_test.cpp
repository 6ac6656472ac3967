#include "launcher/http/sse_parser.h"

#include <gtest/gtest.h>

#include <vector>

namespace terrace {
namespace {

using Events = std::vector<std::string>;

/// Fed in pieces of `step` bytes.
Events parse(std::string_view text, size_t step) {
  Events events;
  SseParser parser;
  for (size_t at = 0; at < text.size(); at += step) {
    EXPECT_TRUE(parser.feed(text.substr(at, step), [&](std::string_view data) { events.emplace_back(data); }));
  }
  return events;
}

TEST(SseParserTest, EventsDoNotDependOnHowTheBytesCome) {
  const std::string text = "\xEF\xBB\xBF" "data: one\n\n: a comment\n\nevent: x\ndata:two\r\ndata: 2b\r\n\r\ndata\n\nid: 5\n\ndata: three\r\rdata: \xC3\xA9\n\ndata: cut off";
  const Events expected = {"one", "two\n2b", "", "three", "\xC3\xA9"};
  for (size_t step = 1; step <= text.size(); ++step) EXPECT_EQ(parse(text, step), expected) << step;
}

TEST(SseParserTest, ALineIsDataOnlyByItsWholeName) {
  EXPECT_EQ(parse("database: x\n\ndata : y\n\n data: z\n\n", 3), Events());
  EXPECT_EQ(parse("data:  two spaces\n\n", 100), Events{" two spaces"});
  EXPECT_EQ(parse("data: {\"a\": \"b: c\"}\n\n", 100), Events{"{\"a\": \"b: c\"}"});
}

TEST(SseParserTest, AnEventWithoutEndIsRefused) {
  SseParser parser(100);
  const auto ignore = [](std::string_view) {};
  EXPECT_TRUE(parser.feed("data: " + std::string(90, 'x'), ignore));
  EXPECT_FALSE(parser.feed("0123456789", ignore));
  EXPECT_FALSE(parser.feed("\n\n", ignore));
  SseParser many_lines(100);
  for (int i = 0; i < 9; ++i) EXPECT_TRUE(many_lines.feed("data: 123456789\n", ignore)) << i;
  EXPECT_FALSE(many_lines.feed("data: 123456789\n", ignore));
}

}  // namespace
}  // namespace terrace
