#include "launcher/render.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <ctime>

#include "kernels/base/error.h"

namespace terrace {
namespace {

TEST(RenderTest, ReadsLocalTime) {
  ::setenv("TZ", "UTC", 1);
  ::tzset();
  EXPECT_EQ(parse_local_time("2025-03-14T09:26:53"), 1741944413);
  EXPECT_EQ(parse_local_time("1970-01-01T00:00:00"), 0);
}

TEST(RenderTest, RefusesWhatIsNoTime) {
  for (const char* text : {"", "yesterday", "2025-03-14", "2025-13-14T09:26:53", "2025-03-14T09:26:53Z"}) {
    EXPECT_THROW(parse_local_time(text), Error) << text;
  }
}

}  // namespace
}  // namespace terrace
