#include "kernels/base/thread_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <numeric>
#include <set>
#include <stdexcept>
#include <thread>
#include <vector>

#include "kernels/base/error.h"

namespace terrace {
namespace {

TEST(ThreadPoolTest, RunCallsEveryThreadOnce) {
  for (const int num_threads : {1, 2, 3, 5}) {
    for (const bool spin : {true, false}) {
      ThreadPool pool(num_threads, spin);
      EXPECT_EQ(pool.num_threads(), num_threads);
      std::vector<int> calls(static_cast<size_t>(num_threads));  // unsynchronised: run() must order all of it
      for (int round = 0; round < 100; ++round) {
        pool.run([&](int thread) { ++calls[static_cast<size_t>(thread)]; });
      }
      EXPECT_EQ(calls, std::vector<int>(static_cast<size_t>(num_threads), 100));
    }
  }
}

TEST(ThreadPoolTest, TheCallerIsThreadZero) {
  ThreadPool pool(3);
  std::vector<std::thread::id> ids(3);
  pool.run([&](int thread) { ids[static_cast<size_t>(thread)] = std::this_thread::get_id(); });
  EXPECT_EQ(ids[0], std::this_thread::get_id());
  EXPECT_EQ(std::set<std::thread::id>(ids.begin(), ids.end()).size(), 3u);
}

TEST(ThreadPoolTest, ParallelForCoversTheRangeExactlyOnce) {
  for (const int num_threads : {1, 2, 4}) {
    ThreadPool pool(num_threads);
    for (const int64_t count : {0, 1, 7, 64, 1000}) {
      for (const int64_t grain : {0, 1, 3, 64, 5000}) {
        std::vector<int> hits(static_cast<size_t>(count));
        pool.parallel_for(count, grain, [&](int64_t begin, int64_t end) {
          EXPECT_LE(end - begin, std::max<int64_t>(grain, 1));
          for (int64_t i = begin; i < end; ++i) ++hits[static_cast<size_t>(i)];
        });
        EXPECT_EQ(hits, std::vector<int>(static_cast<size_t>(count), 1));
      }
    }
  }
}

TEST(ThreadPoolTest, AThreadThatIsHeldUpLeavesItsShareToTheOthers) {
  ThreadPool pool(3);
  constexpr int64_t kChunks = 30;
  std::atomic<int64_t> done = 0;
  int64_t done_before_first = 0;
  pool.parallel_for(kChunks, 1, [&](int64_t begin, int64_t) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (begin == 0 && done < kChunks - 1 && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
    if (begin == 0) done_before_first = done;
    ++done;
  });
  EXPECT_EQ(done_before_first, kChunks - 1);
}

TEST(ThreadPoolTest, RethrowsOnTheCallerAndStaysUsable) {
  for (const int num_threads : {1, 2, 4}) {
    ThreadPool pool(num_threads);
    for (int thrower = 0; thrower < num_threads; ++thrower) {
      EXPECT_THROW(pool.run([&](int thread) {
        if (thread == thrower) throw std::runtime_error("body");
      }), std::runtime_error);
      std::atomic<int> calls = 0;
      pool.run([&](int) { ++calls; });
      EXPECT_EQ(calls, num_threads);
    }
    EXPECT_THROW(pool.parallel_for(100, 1, [](int64_t, int64_t) { throw std::runtime_error("all"); }), std::runtime_error);
  }
}

TEST(ThreadPoolTest, RefusesAnEmptyTeam) { EXPECT_THROW(ThreadPool(0), Error); }

TEST(ThreadPoolTest, WritesOfOneRegionAreSeenByTheNext) {
  ThreadPool pool(3);
  std::vector<int64_t> values(300, 1);
  for (int round = 0; round < 200; ++round) {
    // Each chunk reads what another thread may have written in the region before.
    std::vector<int64_t> next(values.size());
    pool.parallel_for(300, 7, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) next[static_cast<size_t>(i)] = values[static_cast<size_t>(299 - i)] + 1;
    });
    values.swap(next);
  }
  EXPECT_EQ(std::accumulate(values.begin(), values.end(), int64_t{0}), 300 * 201);
}

}  // namespace
}  // namespace terrace
