#include "launcher/serve/mailbox.h"

#include <gtest/gtest.h>

namespace terrace {
namespace {

// A connection that looks before it sleeps must find what came in between, an error too: its wake-up is over by then.
TEST(MailboxTest, AnErrorIsMail) {
  int woken = 0;
  Mailbox mailbox([&woken] { ++woken; });
  EXPECT_TRUE(mailbox.empty());
  mailbox.fail(ApiError(500, "rank 1 has gone"));
  EXPECT_FALSE(mailbox.empty());
  EXPECT_EQ(woken, 1);
  EXPECT_TRUE(mailbox.take().error.has_value());
  EXPECT_TRUE(mailbox.empty());
}

}  // namespace
}  // namespace terrace
