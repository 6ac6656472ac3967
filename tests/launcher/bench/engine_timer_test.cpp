#include "launcher/bench/engine_timer.h"

#include <gtest/gtest.h>

#include "comm/group.h"
#include "kernels/base/error.h"
#include "runtime/session.h"

namespace terrace {
namespace {

/// Calls body(engine, vocabulary size) on rank 0 of a random model on so many ranks.
template <class Body>
void with_engine(int ranks, Body body) {
  Config config;
  config.model.load = "dummy";
  config.cache.device = {int64_t{1} << 20, 0};
  const int code = run_ranks({.local_ranks = ranks, .spin = false}, [&](RankGroup& group) {
    Session session(config, group, {.announce = false, .load_progress = {}});
    if (group.rank == 0) {
      body(session.engine(), session.model().vocab_size);
      session.engine().stop();
    } else {
      session.follow();
    }
    return 0;
  });
  EXPECT_EQ(code, 0);
}

TEST(EngineTimerTest, GeneratesEveryTokenThatIsAskedFor) {
  for (const int ranks : {1, 2}) {
    with_engine(ranks, [](Engine& engine, int32_t vocab_size) {
      EngineTimer timer(engine, vocab_size, [] { return false; });
      const auto timing = timer.run(BenchJob{BenchKind::kDecode, 1, 9, 6, 9});
      ASSERT_TRUE(timing);
      EXPECT_EQ(timing->prompt_tokens, 9);
      EXPECT_EQ(timing->generated_tokens, 6);
      EXPECT_EQ(timing->tokens_after_prompts, 5);
      EXPECT_GT(timing->prompt_seconds, 0);
      EXPECT_GT(timing->seconds, timing->prompt_seconds);
    });
  }
}

TEST(EngineTimerTest, ARepeatComputesItsPromptsAgain) {
  with_engine(1, [](Engine& engine, int32_t vocab_size) {
    EngineTimer timer(engine, vocab_size, [] { return false; });
    for (int repeat = 0; repeat < 3; ++repeat) ASSERT_TRUE(timer.run(BenchJob{BenchKind::kPrefill, 1, 400, 1, 0}));
    EXPECT_EQ(engine.stats().sources.computed, 3 * 400);
  });
}

TEST(EngineTimerTest, ThePromptsOfABatchEndWithTheLastFirstToken) {
  with_engine(1, [](Engine& engine, int32_t vocab_size) {
    EngineTimer timer(engine, vocab_size, [] { return false; });
    const auto timing = timer.run({{400, 4}, {400, 4}, {3, 9}});  // more than one step's tokens: the first decodes beside the others' prompts
    ASSERT_TRUE(timing);
    EXPECT_EQ(timing->prompt_tokens, 803);
    EXPECT_EQ(timing->generated_tokens, 17);
    EXPECT_LT(timing->tokens_after_prompts, 14);
  });
}

TEST(EngineTimerTest, AnInterruptedJobLeavesTheEngineIdle) {
  with_engine(1, [](Engine& engine, int32_t vocab_size) {
    int asked = 0;
    EngineTimer timer(engine, vocab_size, [&] { return ++asked == 3; });
    EXPECT_FALSE(timer.run(BenchJob{BenchKind::kBatch, 2, 8, 50, 0}));
    EXPECT_FALSE(engine.busy());
    EXPECT_TRUE(timer.run(BenchJob{}));
  });
}

TEST(EngineTimerTest, AJobThatTheEngineRefusesIsAnError) {
  with_engine(1, [](Engine& engine, int32_t vocab_size) {
    EngineTimer timer(engine, vocab_size, [] { return false; });
    EXPECT_THROW(timer.run(BenchJob{BenchKind::kPrefill, 1, 5000, 1, 0}), Error);
  });
}

}  // namespace
}  // namespace terrace
