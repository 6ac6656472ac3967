#include "runtime/text/utf8.h"

#include <gtest/gtest.h>

namespace terrace {
namespace {

TEST(Utf8Test, RoundTripsEveryCodePoint) {
  std::string text;
  for (uint32_t code_point = 0; code_point <= 0x10FFFF; ++code_point) {
    if (code_point >= 0xD800 && code_point < 0xE000) continue;
    text.clear();
    append_utf8(text, code_point);
    const Utf8Char c = utf8_at(text, 0);
    ASSERT_EQ(c.state, Utf8State::kValid) << code_point;
    ASSERT_EQ(c.code_point, code_point);
    ASSERT_EQ(c.length, text.size());
    for (size_t part = 1; part < text.size(); ++part) {
      ASSERT_EQ(utf8_at(text.substr(0, part), 0).state, Utf8State::kIncomplete) << code_point;
    }
  }
}

TEST(Utf8Test, RefusesWhatIsNoCharacter) {
  for (const char* bad : {"\x80", "\xbf", "\xc0\x80", "\xc1\xbf", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xf0\x8f\xbf\xbf",
                          "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff", "\xe2\x41", "\xe2\x82\x41"}) {
    EXPECT_EQ(utf8_at(bad, 0).state, Utf8State::kInvalid) << bad;
    EXPECT_EQ(find_invalid_utf8(bad), 0u);
    EXPECT_EQ(find_invalid_utf8("0123456789é" + std::string(bad) + "0123456789"), 12u);
  }
  EXPECT_EQ(find_invalid_utf8("plain and 語 and 😀, long enough to be read by eights"), std::string_view::npos);
  EXPECT_EQ(to_valid_utf8("a\xe2\x82"), "a\uFFFD\uFFFD");
}

}  // namespace
}  // namespace terrace
