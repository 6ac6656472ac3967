#include "launcher/http/local_name.h"

#include <gtest/gtest.h>

namespace terrace {
namespace {

TEST(LocalNameTest, NamesThatOthersCanOwnAreNotLocal) {
  for (const char* local : {"localhost", "LOCALHOST:8000", "127.0.0.1", "127.0.0.1:8000", "10.1.2.3:80", "[::1]", "[::1]:8000", "app.localhost:1", "gpu1", "", "localhost."}) {
    EXPECT_TRUE(is_local_name(local)) << local;
  }
  for (const char* foreign : {"example.org", "example.org:8000", "localhost.example.org", "127.0.0.1.example.org", "127.0.0.1.nip.io:8000", "notlocalhost.org.", "1.2.3.4.5"}) {
    EXPECT_FALSE(is_local_name(foreign)) << foreign;
  }
}

TEST(LocalNameTest, KnowsLoopback) {
  for (const char* loopback : {"127.0.0.1", "127.1.2.3", "::1"}) EXPECT_TRUE(is_loopback(loopback)) << loopback;
  for (const char* other : {"0.0.0.0", "::", "10.0.0.1", "localhost"}) EXPECT_FALSE(is_loopback(other)) << other;
}

}  // namespace
}  // namespace terrace
