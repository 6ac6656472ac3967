#include "runtime/scheduler.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

namespace terrace {
namespace {

Request make_request(int prompt, int max_tokens) {
  Request request;
  for (int i = 0; i < prompt; ++i) request.prompt.push_back(i % 50);
  request.max_tokens = max_tokens;
  request.sampling.temperature = 0;
  return request;
}

Scheduler::Options small_options() {
  return {.max_tokens_per_step = 32, .max_sequences = 4, .page_tokens = 4, .num_frames = 16, .context_length = 64};
}

// Commits every row with token 7; returns the ids that finished.
std::set<SequenceId> commit_all(Scheduler& scheduler, const StepPlan& plan) {
  std::set<SequenceId> finished;
  for (const PlanRow& row : plan.rows) {
    const SequenceId id = scheduler.sequence(row).id;
    const bool sampled = row.output == RowOutput::kCandidates || row.output == RowOutput::kFullLogits;
    if (scheduler.commit(row, sampled ? std::optional(7) : std::nullopt) != FinishReason::kNone) finished.insert(id);
  }
  return finished;
}

TEST(SchedulerTest, ChunksALongPromptUnderTheTokenBudget) {
  Scheduler::Options options = small_options();
  options.max_tokens_per_step = 16;
  Scheduler scheduler(options);
  ASSERT_FALSE(scheduler.submit(1, make_request(40, 2)));
  std::vector<int> chunks;
  while (scheduler.busy()) {
    const StepPlan plan = scheduler.plan();
    ASSERT_EQ(plan.rows.size(), 1u);
    chunks.push_back(plan.rows[0].num_tokens);
    commit_all(scheduler, plan);
  }
  EXPECT_EQ(chunks, (std::vector<int>{16, 16, 8, 1}));
  EXPECT_EQ(scheduler.frames_in_use(), 0);
}

TEST(SchedulerTest, APooledTextEndsWithItsLastTokenAndAsksForNoLogits) {
  for (const Pooling pooling : {Pooling::kMean, Pooling::kLast}) {
    Scheduler::Options options = small_options();
    options.max_tokens_per_step = 16;
    Scheduler scheduler(options);
    Request request = make_request(33, 0);
    request.pooling = pooling;
    ASSERT_FALSE(scheduler.submit(1, request));
    std::vector<std::pair<int, int>> rows;
    while (scheduler.busy()) {
      const StepPlan plan = decode_plan(encode(scheduler.plan()));
      ASSERT_EQ(plan.rows.size(), 1u);
      EXPECT_EQ(plan.rows[0].num_outputs(), 0);
      rows.emplace_back(plan.rows[0].num_tokens, plan.rows[0].num_states());
      const FinishReason finish = scheduler.commit(plan.rows[0], std::nullopt);
      EXPECT_EQ(finish, rows.size() == 3 ? FinishReason::kStop : FinishReason::kNone);
    }
    const bool mean = pooling == Pooling::kMean;
    EXPECT_EQ(rows, (std::vector<std::pair<int, int>>{{16, mean ? 16 : 0}, {16, mean ? 16 : 0}, {1, 1}}));
  }
}

TEST(SchedulerTest, MixesDecodesBeforePromptChunks) {
  Scheduler scheduler(small_options());
  scheduler.submit(1, make_request(4, 8));
  commit_all(scheduler, scheduler.plan());
  scheduler.submit(2, make_request(40, 1));
  const StepPlan plan = scheduler.plan();
  ASSERT_EQ(plan.rows.size(), 2u);
  EXPECT_EQ(plan.rows[0].num_tokens, 1);
  EXPECT_EQ(plan.rows[1].num_tokens, 31);
}

TEST(SchedulerTest, RefusesWhatCanNeverRunWithASentence) {
  Scheduler scheduler(small_options());
  EXPECT_NE(scheduler.submit(1, make_request(0, 1))->find("empty"), std::string::npos);
  EXPECT_NE(scheduler.submit(2, make_request(60, 5))->find("context of 64"), std::string::npos);
  Scheduler::Options tight = small_options();
  tight.num_frames = 4;
  Scheduler small(tight);
  EXPECT_NE(small.submit(3, make_request(15, 3))->find("cache.device"), std::string::npos);
  EXPECT_FALSE(small.submit(4, make_request(15, 2)));  // 17 tokens: the last one needs no page
  EXPECT_FALSE(scheduler.busy());
}

TEST(SchedulerTest, PreemptsTheYoungestWhenFramesRunOut) {
  Scheduler::Options options = small_options();
  options.num_frames = 6;
  Scheduler scheduler(options);
  scheduler.submit(1, make_request(8, 14));
  scheduler.submit(2, make_request(4, 12));
  std::vector<SequenceId> order;
  while (scheduler.busy()) {
    for (const SequenceId id : commit_all(scheduler, scheduler.plan())) order.push_back(id);
  }
  EXPECT_EQ(order, (std::vector<SequenceId>{1, 2}));
  EXPECT_GE(scheduler.num_preemptions(), 1u);
}

TEST(SchedulerTest, CancelFreesPagesAtOnce) {
  Scheduler::Options options = small_options();
  options.keep_prefixes = false;  // the second would wait for the first's pages
  Scheduler scheduler(options);
  scheduler.submit(1, make_request(20, 8));
  scheduler.submit(2, make_request(20, 8));
  commit_all(scheduler, scheduler.plan());
  EXPECT_GT(scheduler.frames_in_use(), 0);
  EXPECT_TRUE(scheduler.cancel(1));
  EXPECT_TRUE(scheduler.cancel(2));
  EXPECT_FALSE(scheduler.cancel(2));
  EXPECT_EQ(scheduler.frames_in_use(), 0);
  EXPECT_FALSE(scheduler.busy());
  EXPECT_EQ(scheduler.plan().slot_updates.size(), 2u);  // the workers hear of the closings with the next plan
}

TEST(SchedulerTest, ScoresPromptPositionsBeforeTheLast) {
  Scheduler scheduler(small_options());
  Request request = make_request(6, 0);
  request.prompt_logprobs = true;
  scheduler.submit(1, request);
  const StepPlan plan = scheduler.plan();
  ASSERT_EQ(plan.rows.size(), 1u);
  EXPECT_EQ(plan.rows[0].output, RowOutput::kTokenLogprobs);
  EXPECT_EQ(plan.rows[0].num_tokens, 5);
  EXPECT_EQ(plan.tokens.size(), 6u);
  EXPECT_EQ(commit_all(scheduler, plan), std::set<SequenceId>{1});
}

TEST(SchedulerTest, WithoutCacheEveryTokenRecomputesTheSequence) {
  Scheduler::Options options = small_options();
  options.cache_enabled = false;
  Scheduler scheduler(options);
  scheduler.submit(1, make_request(5, 3));
  std::vector<int> rows;
  while (scheduler.busy()) {
    const StepPlan plan = scheduler.plan();
    rows.push_back(plan.rows.at(0).num_tokens);
    commit_all(scheduler, plan);
  }
  EXPECT_EQ(rows, (std::vector<int>{5, 6, 7}));
}

// LAW 5 over random schedules with small pools: every sequence ends, every plan can be applied, nothing leaks.
class RandomScheduleTest : public ::testing::TestWithParam<int> {};

TEST_P(RandomScheduleTest, EverySequenceEndsAndEveryPlanApplies) {
  std::mt19937 rng(static_cast<uint32_t>(GetParam()));
  const auto pick = [&](int low, int high) { return std::uniform_int_distribution<int>(low, high)(rng); };
  Scheduler::Options options{.max_tokens_per_step = pick(4, 40), .max_sequences = pick(1, 6), .page_tokens = 1 << pick(0, 3),
                             .num_frames = pick(4, 24), .context_length = 96};
  options.max_tokens_per_step = std::max(options.max_tokens_per_step, options.max_sequences);
  options.cache_enabled = pick(0, 3) != 0;
  options.keep_prefixes = false;  // each frame in one table; shared ones: CacheScheduleTest
  Scheduler scheduler(options);
  PageTables worker(options.max_sequences, 1);  // a rank's replica: follows by the plans alone
  std::set<SequenceId> in_flight;
  SequenceId next_id = 1;
  int to_submit = 30;
  int steps = 0;
  while (to_submit > 0 || scheduler.busy()) {
    ASSERT_LT(++steps, 20000) << "no progress";
    for (int arrivals = pick(0, 2); arrivals > 0 && to_submit > 0; --arrivals, --to_submit) {
      Request request = make_request(pick(1, 60), pick(1, 30));
      request.prompt_logprobs = pick(0, 4) == 0;
      if (!scheduler.submit(next_id, request)) in_flight.insert(next_id);
      ++next_id;
    }
    if (pick(0, 15) == 0 && !in_flight.empty()) {
      const SequenceId victim = *std::next(in_flight.begin(), pick(0, static_cast<int>(in_flight.size()) - 1));
      ASSERT_TRUE(scheduler.cancel(victim));
      in_flight.erase(victim);
    }
    const bool busy = scheduler.busy();
    const StepPlan plan = decode_plan(encode(scheduler.plan()));
    ASSERT_EQ(plan.rows.empty(), !busy);
    int tokens = 0;
    for (const SlotUpdate& u : plan.slot_updates) u.action == SlotAction::kOpen ? worker.open(u.slot, u.sequence) : worker.close(u.slot);
    for (const FrameUpdate& f : plan.frames) worker.map(f.slot, f.group, f.index, f.page);
    ASSERT_EQ(worker.digest(), plan.digest);
    std::set<uint32_t> owned;
    for (int slot = 0; slot < options.max_sequences; ++slot) {
      for (const PageRef& page : worker.pages(slot, 0)) {
        ASSERT_TRUE(owned.insert(page.frame).second) << "frame " << page.frame << " is in two tables";
        ASSERT_LT(page.frame, static_cast<uint32_t>(options.num_frames));
      }
    }
    for (const PlanRow& row : plan.rows) {
      tokens += row.num_tokens;
      ASSERT_GE(static_cast<int>(worker.pages(row.slot, 0).size()) * options.page_tokens, row.first_position + row.num_tokens);
    }
    ASSERT_LE(tokens, options.max_tokens_per_step);
    for (const SequenceId id : commit_all(scheduler, plan)) in_flight.erase(id);
  }
  EXPECT_TRUE(in_flight.empty());
  EXPECT_EQ(scheduler.frames_in_use(), 0);
}

INSTANTIATE_TEST_SUITE_P(Seeds, RandomScheduleTest, ::testing::Range(0, 60));

TEST(StepPlanTest, ADecodeStepOf256RowsStaysUnder4KB) {
  Scheduler::Options options{.max_tokens_per_step = 512, .max_sequences = 256, .page_tokens = 16, .num_frames = 4096, .context_length = 1024};
  Scheduler scheduler(options);
  for (SequenceId id = 1; id <= 256; ++id) scheduler.submit(id, make_request(1, 100));
  commit_all(scheduler, scheduler.plan());
  const StepPlan plan = scheduler.plan();
  ASSERT_EQ(plan.rows.size(), 256u);
  EXPECT_LT(encode(plan).size(), 4096u);
}

TEST(StepPlanTest, ARowHasNoMoreTokensThanTheWireHasRoomFor) {
  Scheduler scheduler({.max_tokens_per_step = 70'000, .max_sequences = 4, .page_tokens = 64, .num_frames = 1100, .context_length = 70'400});
  scheduler.submit(1, make_request(66'000, 1));
  const StepPlan plan = decode_plan(encode(scheduler.plan()));
  ASSERT_EQ(plan.rows.size(), 1u);
  EXPECT_EQ(plan.rows[0].num_tokens, kMostRowTokens);
}

TEST(StepPlanTest, RefusesDamagedBytes) {
  Scheduler scheduler(small_options());
  scheduler.submit(1, make_request(6, 2));
  const Bytes whole = encode(scheduler.plan());
  EXPECT_NO_THROW(decode_plan(whole));
  for (size_t length = 0; length < whole.size(); ++length) {
    EXPECT_THROW(decode_plan(std::span(whole).first(length)), Error) << length;
  }
  std::mt19937 rng(1);
  for (int i = 0; i < 2000; ++i) {  // a flipped bit is refused or gives another plan, never a crash
    Bytes flipped = whole;
    flipped[rng() % flipped.size()] ^= static_cast<std::byte>(1u << (rng() % 8));
    try {
      decode_plan(flipped);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kPlanMismatch);
    }
  }
}

}  // namespace
}  // namespace terrace
