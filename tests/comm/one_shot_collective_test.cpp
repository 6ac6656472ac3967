// Which sums go in one shot, and what the ranks' ends do to each other: with collectives that only write down what was asked of them.
#include "comm/one_shot_collective.h"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <thread>

#include "comm/group.h"
#include "kernels/base/error.h"

namespace terrace {
namespace {

struct Log {
  std::vector<std::string> calls;
  std::atomic<bool> stopped = false;
};

class FakeLarge final : public Collective {
 public:
  FakeLarge(RankGroup& group, Log& log) : group_(group), log_(log) {}
  int rank() const override { return group_.rank; }
  int size() const override { return group_.size; }
  std::span<float> buffer(size_t count) override { return std::span(memory_).first(count); }
  std::span<float> all_reduce(std::span<float> part) override {
    log_.calls.push_back("large " + std::to_string(part.size()));
    return part;
  }
  void check() override { log_.calls.push_back("check"); }

 private:
  RankGroup& group_;
  Log& log_;
  std::array<float, 100> memory_ = {};
};

class FakeSmall final : public PeerSum {
 public:
  explicit FakeSmall(Log& log) : log_(log) {}
  ~FakeSmall() override { log_.calls.push_back("free"); }
  std::vector<std::byte> card() const override { return {}; }
  void open(std::span<const std::vector<std::byte>>) override {}
  void close() override { log_.calls.push_back("close"); }
  void add_up(float*, size_t count) override { log_.calls.push_back("small " + std::to_string(count)); }
  void add_up_then_norm(float*, const ResidualNorm& then) override { log_.calls.push_back("small with norm " + std::to_string(then.residual.rows * then.residual.cols)); }
  void stop() override { log_.stopped = true; }

 private:
  Log& log_;
};

/// Says how many have been closed when it goes.
class Counted final : public PeerSum {
 public:
  Counted(std::atomic<int>& count, Log& to) : closed_(count), log_(to) {}
  ~Counted() override { log_.calls.push_back("freed after " + std::to_string(closed_)); }
  std::vector<std::byte> card() const override { return {}; }
  void open(std::span<const std::vector<std::byte>>) override {}
  void close() override { ++closed_; }
  void add_up(float*, size_t) override {}
  void add_up_then_norm(float*, const ResidualNorm&) override {}
  void stop() override {}

 private:
  std::atomic<int>& closed_;
  Log& log_;
};

std::unique_ptr<OneShotCollective> make(RankGroup& group, Log& log, size_t max_floats = 10) {
  return std::make_unique<OneShotCollective>(std::make_unique<FakeLarge>(group, log), std::make_unique<FakeSmall>(log), max_floats, group);
}

int on_ranks(int ranks, const std::function<int(RankGroup&)>& body) {
  GroupOptions options;
  options.local_ranks = ranks;
  options.spin = false;
  return run_ranks(options, body);
}

TEST(OneShotCollectiveTest, TheSizeAloneDecidesWhichWayASumGoes) {
  Log log;
  EXPECT_EQ(on_ranks(1, [&](RankGroup& group) {
              const auto collective = make(group, log);
              for (const size_t count : {size_t{10}, size_t{11}, size_t{1}}) {
                const std::span<float> part = collective->buffer(count);
                EXPECT_EQ(collective->all_reduce(part).data(), part.data());
              }
              collective->check();
              return 0;
            }),
            0);
  EXPECT_EQ(log.calls, (std::vector<std::string>{"small 10", "large 11", "small 1", "check", "close", "free"}));
}

TEST(OneShotCollectiveTest, TheNormIsPartOfASmallSumAndFollowsALargeOne) {
  Log log;
  EXPECT_EQ(on_ranks(1, [&](RankGroup& group) {
              const auto collective = make(group, log);
              for (const int64_t cols : {5, 6}) {
                const std::span<float> part = collective->buffer(static_cast<size_t>(2 * cols));
                const ResidualNorm then = {{part.data(), 2, cols, cols}, part.data(), 0, {}};
                collective->all_reduce_then_norm(part, then, [&](std::span<float> sum) { log.calls.push_back("norm of " + std::to_string(sum.size())); });
              }
              return 0;
            }),
            0);
  EXPECT_EQ(log.calls, (std::vector<std::string>{"small with norm 10", "large 12", "norm of 12", "close", "free"}));
}

TEST(OneShotCollectiveTest, MoreRanksSendLessInOneShotAndTooManyNothing) {
  for (int ranks = 2; ranks < 12; ++ranks) EXPECT_LE(one_shot_limit(ranks + 1), one_shot_limit(ranks)) << ranks;
  EXPECT_GT(one_shot_limit(PeerSum::kMaxRanks), 0u);
  EXPECT_EQ(one_shot_limit(PeerSum::kMaxRanks + 1), 0u);
}

TEST(OneShotCollectiveTest, NobodyFreesItsMemoryBeforeAllHaveClosedIt) {
  std::array<Log, 3> logs;
  std::atomic<int> closed = 0;
  EXPECT_EQ(on_ranks(3, [&](RankGroup& group) {
              Log& log = logs[static_cast<size_t>(group.rank)];
              OneShotCollective(std::make_unique<FakeLarge>(group, log), std::make_unique<Counted>(closed, log), 1, group);
              return 0;
            }),
            0);
  for (const Log& log : logs) EXPECT_EQ(log.calls, (std::vector<std::string>{"freed after 3"}));
}

TEST(OneShotCollectiveTest, ARankThatFailsEndsTheWaitingOfTheOthersKernels) {
  Log waits, fails;
  const int code = on_ranks(2, [&](RankGroup& group) {
    const auto collective = make(group, group.rank == 0 ? waits : fails);
    if (group.rank == 1) throw Error(ErrorCode::kInternal, "a test's failure");
    while (!waits.stopped) std::this_thread::yield();  // as a kernel does
    EXPECT_THROW(collective->check(), Error);
    return 0;
  });
  EXPECT_NE(code, 0);
  EXPECT_TRUE(fails.stopped);
}

// Ranks of several hosts share no memory; the module is not asked for.
TEST(OneShotCollectiveTest, RanksOnSeveralHostsKeepTheLargeCollective) {
  Log log;
  EXPECT_EQ(on_ranks(2, [&](RankGroup& group) {
              group.local_size = 1;
              auto large = std::make_unique<FakeLarge>(group, log);
              const Collective* const before = large.get();
              EXPECT_EQ(with_one_shot_sums(std::move(large), group, {}).get(), before);
              return 0;
            }),
            0);
}

}  // namespace
}  // namespace terrace
