#include "comm/local.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <random>

#include "kernels/base/error.h"

namespace terrace {
namespace {

GroupOptions ranks(int count) { return {.local_ranks = count, .pretend_hosts = 0, .spin = true}; }

Bytes random_bytes(size_t size, uint32_t seed) {
  std::mt19937 random(seed);
  Bytes bytes(size);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
  return bytes;
}

/// The part that rank `rank` brings to sum `round`: magnitudes far apart, so that another order gives other bits.
std::vector<float> random_floats(size_t count, int rank, int round) {
  std::mt19937 random(static_cast<uint32_t>(rank * 1000 + round));
  std::vector<float> values(count);
  for (float& value : values) value = std::ldexp(static_cast<float>(static_cast<int32_t>(random())), static_cast<int>(random() % 24) - 40);
  return values;
}

std::vector<float> sum_in_rank_order(size_t count, int size, int round) {
  std::vector<float> sum = random_floats(count, 0, round);
  for (int rank = 1; rank < size; ++rank) {
    const std::vector<float> part = random_floats(count, rank, round);
    for (size_t i = 0; i < count; ++i) sum[i] += part[i];
  }
  return sum;
}

class LocalRanksTest : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Sizes, LocalRanksTest, ::testing::Values(1, 2, 3, 9));

TEST_P(LocalRanksTest, EveryRankRunsOnceAndRankZeroOnTheCallersThread) {
  const int size = GetParam();
  std::vector<std::atomic<int>> runs(static_cast<size_t>(size));
  const std::thread::id caller = std::this_thread::get_id();
  EXPECT_EQ(0, run_ranks(ranks(size), [&](RankGroup& group) {
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
  const int size = GetParam();
  EXPECT_EQ(0, run_ranks(ranks(size), [](RankGroup& group) {
    std::mt19937 random(7);  // the same sizes on every rank
    for (uint32_t round = 0; round < 40; ++round) {
      const size_t bytes = round % 10 == 9 ? random() % 5'000'000 : random() % 5'000 * (round % 4);
      Bytes message = group.rank == 0 ? random_bytes(bytes, round) : random_bytes(11, 1);
      group.control->broadcast(message);
      EXPECT_EQ(random_bytes(bytes, round), message);
      const auto answer = [&](int rank) { return random_bytes(bytes / 2 + static_cast<size_t>(rank), round + 100 * static_cast<uint32_t>(rank)); };
      const std::vector<Bytes> answers = group.control->gather(answer(group.rank));
      if (group.rank != 0) {
        EXPECT_TRUE(answers.empty());
      } else {
        EXPECT_EQ(static_cast<size_t>(group.size), answers.size());
        for (int rank = 0; rank < group.size; ++rank) EXPECT_EQ(answer(rank), answers[static_cast<size_t>(rank)]);
      }
      if (round % 8 == 0) group.control->barrier();
    }
    return 0;
  }));
}

TEST_P(LocalRanksTest, AllReduceGivesTheBitsOfTheSumInRankOrder) {
  const int size = GetParam();
  EXPECT_EQ(0, run_ranks(ranks(size), [size](RankGroup& group) {
    const size_t counts[] = {1, 576, 4096, 4097, 0, 576, 100'003, 9, 1'300'001, 31, 31, 50'000};
    int round = 0;
    for (const size_t count : counts) {
      const std::vector<float> mine = random_floats(count, group.rank, round);
      std::vector<float> anywhere = mine;
      group.collective->all_reduce(anywhere);
      const std::span<float> buffer = group.collective->buffer(count);
      std::memcpy(buffer.data(), mine.data(), mine.size() * sizeof(float));
      group.collective->all_reduce(buffer);
      const std::vector<float> expected = sum_in_rank_order(count, size, round);
      EXPECT_EQ(0, std::memcmp(expected.data(), anywhere.data(), count * sizeof(float))) << count;
      EXPECT_EQ(0, std::memcmp(expected.data(), buffer.data(), count * sizeof(float))) << count;
      ++round;
    }
    return 0;
  }));
}

TEST_P(LocalRanksTest, ManyShortSumsInARowDoNotOvertakeEachOther) {
  const int size = GetParam();
  EXPECT_EQ(0, run_ranks(ranks(size), [size](RankGroup& group) {
    for (int round = 0; round < 2'000; ++round) {
      const std::span<float> buffer = group.collective->buffer(64);
      for (float& value : buffer) value = static_cast<float>(round % 1000 + group.rank);
      group.collective->all_reduce(buffer);
      const auto expected = static_cast<float>(round % 1000 * size + size * (size - 1) / 2);
      for (const float value : buffer) EXPECT_EQ(expected, value);
      if (::testing::Test::HasFailure()) throw Error(ErrorCode::kInternal, "wrong sum");
    }
    return 0;
  }));
}

TEST_P(LocalRanksTest, ReturnsTheCodeThatARankReturned) {
  const int last = GetParam() - 1;
  EXPECT_EQ(5, run_ranks(ranks(GetParam()), [last](RankGroup& group) { return group.rank == last ? 5 : 0; }));
}

/// Waits of every kind, for ever.
void wait_for_others(RankGroup& group, int kind) {
  for (;;) {
    Bytes message(10);
    std::vector<float> small(10), large(100'000);
    if (kind == 0) group.control->broadcast(message);
    if (kind == 0) group.control->gather(message);
    if (kind == 1) group.collective->all_reduce(small);
    if (kind == 2) group.collective->all_reduce(large);
    if (kind == 3) group.control->barrier();
  }
}

TEST_P(LocalRanksTest, AnErrorInOneRankEndsAllWhereverTheyWaitAndIsPrintedOnce) {
  const int size = GetParam();
  for (int kind = 0; kind < 4; ++kind) {
    for (const int victim : {0, size / 2, size - 1}) {
      ::testing::internal::CaptureStderr();
      const int code = run_ranks(ranks(size), [kind, victim](RankGroup& group) -> int {
        if (group.rank == victim) throw Error(ErrorCode::kInvalidValue, "model.path is wrong");
        wait_for_others(group, kind);
        return 0;
      });
      EXPECT_EQ(2, code);
      const std::string printed = ::testing::internal::GetCapturedStderr();
      const size_t at = printed.find("model.path is wrong");
      EXPECT_NE(std::string::npos, at);
      EXPECT_EQ(std::string::npos, printed.find("model.path is wrong", at + 1)) << printed;
      EXPECT_EQ(std::string::npos, printed.find("ended the job")) << printed;
    }
  }
}

TEST_P(LocalRanksTest, AbortMakesEveryRanksNextCallThrow) {
  const int size = GetParam();
  std::atomic<int> thrown = 0;
  ::testing::internal::CaptureStderr();
  const int code = run_ranks(ranks(size), [&](RankGroup& group) {
    if (group.rank == size - 1) group.control->abort(ErrorCode::kIoError, "disk full");
    try {
      wait_for_others(group, group.rank % 4);
    } catch (const Error& error) {
      EXPECT_EQ(ErrorCode::kRankLost, error.code());
      ++thrown;
    }
    return 0;
  });
  EXPECT_EQ(5, code);
  EXPECT_EQ(size, thrown.load());
  EXPECT_NE(std::string::npos, ::testing::internal::GetCapturedStderr().find("disk full"));
}

TEST(LocalRanksErrorTest, ARankThatReturnsEarlyIsNotWaitedForForEver) {
  for (int kind = 0; kind < 4; ++kind) {
    ::testing::internal::CaptureStderr();
    EXPECT_EQ(6, run_ranks(ranks(3), [kind](RankGroup& group) {
      if (group.rank != 1) wait_for_others(group, kind);
      return 0;
    }));
    EXPECT_NE(std::string::npos, ::testing::internal::GetCapturedStderr().find("rank 1 has finished"));
  }
}

TEST(LocalRanksErrorTest, SumsOfDifferentLengthsAreAnError) {
  ::testing::internal::CaptureStderr();
  EXPECT_EQ(1, run_ranks(ranks(2), [](RankGroup& group) {
    std::vector<float> data(static_cast<size_t>(10 + group.rank));
    group.collective->all_reduce(data);
    return 0;
  }));
  EXPECT_NE(std::string::npos, ::testing::internal::GetCapturedStderr().find("11"));
}

}  // namespace
}  // namespace terrace
