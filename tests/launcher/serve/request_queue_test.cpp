#include "launcher/serve/request_queue.h"

#include <gtest/gtest.h>

#include <map>

namespace terrace {
namespace {

RequestQueue::Entry entry(uint64_t id, const std::string& owner = "a", int64_t cost = 10) { return {.id = id, .owner = owner, .cost = cost}; }

uint64_t next(RequestQueue& queue) {
  const auto popped = queue.pop();
  return popped ? popped->id : 0;
}

TEST(RequestQueueTest, IsFirstComeFirstServedForOneOwner) {
  RequestQueue queue(10);
  for (const uint64_t id : {1, 2, 3}) EXPECT_TRUE(queue.push(entry(id)));
  EXPECT_EQ(next(queue), 1u);
  EXPECT_EQ(next(queue), 2u);
  EXPECT_EQ(next(queue), 3u);
  EXPECT_EQ(next(queue), 0u);
}

TEST(RequestQueueTest, RefusesWhatIsTooMuch) {
  RequestQueue queue(2);
  EXPECT_TRUE(queue.push(entry(1)));
  EXPECT_TRUE(queue.push(entry(2)));
  EXPECT_FALSE(queue.push(entry(3)));
  next(queue);
  EXPECT_TRUE(queue.push(entry(3)));
  EXPECT_EQ(queue.size(), 2u);
}

TEST(RequestQueueTest, TakesTheSmallerPriorityNumberFirst) {
  RequestQueue queue(10);
  queue.push({.id = 1, .owner = "a", .priority = 0, .cost = 1});
  queue.push({.id = 2, .owner = "a", .priority = 5, .cost = 1});
  queue.push({.id = 3, .owner = "b", .priority = -1, .cost = 1});
  EXPECT_EQ(next(queue), 3u);
  EXPECT_EQ(next(queue), 1u);
  EXPECT_EQ(next(queue), 2u);
}

TEST(RequestQueueTest, GivesOwnersEqualSharesOfTokensHoweverManyRequestsTheySend) {
  RequestQueue queue(1000);
  uint64_t id = 0;
  for (int i = 0; i < 300; ++i) queue.push(entry(++id, "many", 10));
  for (int i = 0; i < 30; ++i) queue.push(entry(++id, "large", 40));
  std::map<std::string, int64_t> served;
  for (int i = 0; i < 100; ++i) {
    const auto popped = queue.pop();
    served[popped->owner] += popped->cost;
  }
  EXPECT_NEAR(static_cast<double>(served["many"]), static_cast<double>(served["large"]), 40);
}

TEST(RequestQueueTest, AnIdleOwnerSavesNothingUp) {
  RequestQueue queue(1000);
  queue.push(entry(1, "b"));
  next(queue);
  for (uint64_t id = 10; id < 60; ++id) queue.push(entry(id, "a"));
  for (int i = 0; i < 40; ++i) next(queue);
  for (uint64_t id = 100; id < 120; ++id) queue.push(entry(id, "b"));
  int of_b = 0;
  for (int i = 0; i < 10; ++i) of_b += next(queue) >= 100;
  EXPECT_LE(of_b, 6);
  EXPECT_GE(of_b, 4);
}

TEST(RequestQueueTest, ForgetsWhatIsRemovedOrLate) {
  RequestQueue queue(10);
  queue.push(entry(1));
  queue.push({.id = 2, .owner = "b", .deadline_us = 100, .cost = 1});
  queue.push({.id = 3, .owner = "b", .deadline_us = 300, .cost = 1});
  EXPECT_TRUE(queue.remove(1));
  EXPECT_FALSE(queue.remove(1));
  EXPECT_EQ(queue.take_expired(99), std::vector<uint64_t>{});
  EXPECT_EQ(queue.take_expired(100), std::vector<uint64_t>{2});
  EXPECT_EQ(queue.size(), 1u);
  EXPECT_EQ(next(queue), 3u);
}

}  // namespace
}  // namespace terrace
