#include "comm/local.h"

#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "kernels/base/error.h"
#include "tests/support/comm/rank_checks.h"

namespace terrace {
namespace {

GroupOptions ranks(int count) { return {.local_ranks = count, .pretend_hosts = 0, .spin = true}; }

int count_of(const std::string& text, const std::string& part) {
  int count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

class LocalRanksTest : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Sizes, LocalRanksTest, ::testing::Values(1, 2, 3, 9));

TEST_P(LocalRanksTest, EveryRankRunsOnceAndRankZeroOnTheCallersThread) {
  const int size = GetParam();
  std::vector<std::atomic<int>> runs(static_cast<size_t>(size));
  const std::thread::id caller = std::this_thread::get_id();
  EXPECT_EQ(0, run_local_ranks(ranks(size), [&](RankGroup& group) {
    ++runs[static_cast<size_t>(group.rank)];
    EXPECT_EQ(group.rank == 0, std::this_thread::get_id() == caller);
    EXPECT_EQ(size, group.size);
    EXPECT_EQ(size, group.local_size);
    EXPECT_EQ(group.rank, group.local_rank);
    EXPECT_FALSE(group.mpi);
    return 0;
  }));
  for (const std::atomic<int>& count : runs) EXPECT_EQ(1, count.load());
}

TEST_P(LocalRanksTest, BroadcastAndGatherCarryMessagesOfAnySize) {
  EXPECT_EQ(0, run_local_ranks(ranks(GetParam()), [](RankGroup& group) {
    check_messages(group);
    return 0;
  }));
}

TEST_P(LocalRanksTest, AllReduceGivesTheBitsOfTheSumInRankOrder) {
  EXPECT_EQ(0, run_local_ranks(ranks(GetParam()), [](RankGroup& group) {
    check_sums(group);
    return 0;
  }));
}

TEST_P(LocalRanksTest, ManyShortSumsInARowDoNotOvertakeEachOther) {
  EXPECT_EQ(0, run_local_ranks(ranks(GetParam()), [](RankGroup& group) {
    check_sums_in_a_row(group, 2'000);
    return 0;
  }));
}

TEST_P(LocalRanksTest, ReturnsTheCodeThatARankReturned) {
  const int last = GetParam() - 1;
  EXPECT_EQ(5, run_local_ranks(ranks(GetParam()), [last](RankGroup& group) { return group.rank == last ? 5 : 0; }));
}

TEST_P(LocalRanksTest, AnErrorInOneRankEndsAllWhereverTheyWaitAndIsPrintedOnce) {
  const int size = GetParam();
  for (const WaitKind kind : kWaitKinds) {
    for (const int victim : {0, size / 2, size - 1}) {
      ::testing::internal::CaptureStderr();
      const int code = run_local_ranks(ranks(size), [kind, victim](RankGroup& group) -> int {
        if (group.rank == victim) throw Error(ErrorCode::kInvalidValue, "model.path is wrong");
        wait_for_others(group, kind);
        return 0;
      });
      EXPECT_EQ(2, code);
      const std::string printed = ::testing::internal::GetCapturedStderr();
      EXPECT_EQ(1, count_of(printed, "model.path is wrong")) << printed;
      EXPECT_EQ(1, count_of(printed, "error")) << printed;
    }
  }
}

TEST_P(LocalRanksTest, AbortMakesEveryRanksNextCallThrow) {
  const int size = GetParam();
  std::atomic<int> thrown = 0;
  ::testing::internal::CaptureStderr();
  const int code = run_local_ranks(ranks(size), [&](RankGroup& group) {
    if (group.rank == size - 1) group.control->abort(ErrorCode::kIoError, "disk full");
    try {
      wait_for_others(group, kWaitKinds[group.rank % 4]);
    } catch (const Error& error) {
      EXPECT_EQ(ErrorCode::kRankLost, error.code());
      ++thrown;
    }
    return 0;
  });
  EXPECT_EQ(5, code);
  EXPECT_EQ(size, thrown.load());
  EXPECT_EQ(1, count_of(::testing::internal::GetCapturedStderr(), "disk full"));
}

TEST(LocalRanksErrorTest, ARankThatReturnsEarlyIsNotWaitedForForEver) {
  for (const WaitKind kind : kWaitKinds) {
    ::testing::internal::CaptureStderr();
    EXPECT_EQ(6, run_local_ranks(ranks(3), [kind](RankGroup& group) {
      if (group.rank != 1) wait_for_others(group, kind);
      return 0;
    }));
    EXPECT_EQ(1, count_of(::testing::internal::GetCapturedStderr(), "rank 1 has finished"));
  }
}

TEST(LocalRanksErrorTest, SumsOfDifferentLengthsAreAnError) {
  ::testing::internal::CaptureStderr();
  EXPECT_EQ(1, run_local_ranks(ranks(2), [](RankGroup& group) {
    std::vector<float> data(static_cast<size_t>(10 + group.rank));
    group.collective->all_reduce(data);
    return 0;
  }));
  EXPECT_EQ(1, count_of(::testing::internal::GetCapturedStderr(), "the ranks do not run the same step"));
}

}  // namespace
}  // namespace terrace
