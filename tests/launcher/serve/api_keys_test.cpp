#include "launcher/serve/api_keys.h"

#include <gtest/gtest.h>

#include <optional>

#include "kernels/base/error.h"
#include "launcher/api/api_error.h"

namespace terrace {
namespace {

constexpr int64_t kSecond = 1'000'000;

TEST(ApiKeysTest, EverybodyIsAnonymousWithoutKeys) {
  ApiKeys keys;
  EXPECT_EQ(keys.name_of(""), "anonymous");
  EXPECT_NO_THROW(keys.admit("anonymous", 0));
}

TEST(ApiKeysTest, KnowsAKeyByAllOfItsBytes) {
  const ApiKeys keys = ApiKeys::parse("# comment\n\nalice sk-1\nbob sk-12\n", "keys");
  EXPECT_EQ(keys.name_of("Bearer sk-1"), "alice");
  EXPECT_EQ(keys.name_of("bearer sk-12"), "bob");
  for (const char* wrong : {"", "Bearer ", "Bearer sk-", "Bearer sk-123", "Bearer sk-1sk-1", "Basic sk-1", "sk-1", "Bearer SK-1"}) {
    EXPECT_EQ(keys.name_of(wrong), std::nullopt) << wrong;
  }
}

TEST(ApiKeysTest, SaysWhichLineIsWrongButNeverTheKey) {
  for (const char* text : {"alice", "alice sk-secret max_running=x", "alice sk-secret per_minute=0", "a sk-secret\na sk-other", "", "# nothing\n"}) {
    try {
      ApiKeys::parse(text, "keys");
      ADD_FAILURE() << text;
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find("keys"), std::string::npos);
      EXPECT_EQ(std::string(error.what()).find("sk-secret"), std::string::npos) << error.what();
    }
  }
}

TEST(ApiKeysTest, LimitsWhatRunsAtATime) {
  ApiKeys keys = ApiKeys::parse("a sk max_running=2\n", "keys");
  std::optional<ApiKeys::Admission> first(keys.admit("a", 0)), second(keys.admit("a", 0));
  EXPECT_THROW(keys.admit("a", 0), ApiError);
  first.reset();
  EXPECT_NO_THROW(keys.admit("a", 0));
  EXPECT_NO_THROW(keys.admit("a", 0));  // the one above gave its place back at once
}

TEST(ApiKeysTest, LimitsWhatComesInAMinute) {
  ApiKeys keys = ApiKeys::parse("a sk per_minute=60\n", "keys");
  for (int i = 0; i < 60; ++i) EXPECT_NO_THROW(keys.admit("a", 10 * kSecond)) << i;
  EXPECT_THROW(keys.admit("a", 10 * kSecond), ApiError);
  EXPECT_NO_THROW(keys.admit("a", 11 * kSecond + 1));  // one a second comes back
  EXPECT_THROW(keys.admit("a", 11 * kSecond + 2), ApiError);
}

}  // namespace
}  // namespace terrace
