#include "launcher/http/url.h"

#include <gtest/gtest.h>

#include "kernels/base/error.h"

namespace terrace {
namespace {

TEST(UrlTest, ReadsSchemeHostPortAndPath) {
  const Url plain = parse_url("http://127.0.0.1:8000");
  EXPECT_FALSE(plain.tls);
  EXPECT_EQ(plain.host, "127.0.0.1");
  EXPECT_EQ(plain.port, "8000");
  EXPECT_EQ(plain.path, "");
  EXPECT_EQ(plain.authority(), "127.0.0.1:8000");
  const Url tls = parse_url("https://api.example/base/v1/");
  EXPECT_TRUE(tls.tls);
  EXPECT_EQ(tls.port, "443");
  EXPECT_EQ(tls.path, "/base/v1");
  EXPECT_EQ(tls.authority(), "api.example");
  const Url six = parse_url("[::1]:80/");
  EXPECT_EQ(six.host, "::1");
  EXPECT_EQ(six.authority(), "[::1]");
}

TEST(UrlTest, DecodesPercents) {
  EXPECT_EQ(percent_decoded("a%20b%2Fc%2f+"), "a b/c/+");
  EXPECT_EQ(percent_decoded("%"), "%");
  EXPECT_EQ(percent_decoded("%4%zz%-1%41"), "%4%zz%-1A");
}

TEST(UrlTest, SaysWhatIsWrong) {
  for (const char* text : {"", "http://", "ftp://host", "http://host:0", "http://host:99999", "http://host:8a", "http://host:", "http://user@host", "http://ho st",
                           "http://[::1", "http://[::1]x", "http://host/?a=b"}) {
    EXPECT_THROW(parse_url(text), Error) << text;
  }
}

}  // namespace
}  // namespace terrace
