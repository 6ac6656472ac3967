// What the scheduler makes of models whose layers differ in their windows: how many frames a sequence has, what later ones find of it.
#include <gtest/gtest.h>

#include <set>

#include "runtime/cache/pages_in_sight.h"
#include "runtime/scheduler.h"
#include "tests/support/runtime/schedule_run.h"

namespace terrace {
namespace {

using testing::count_up;
using testing::run_to_end;

constexpr AttentionWindow kWindow = {8, 0};

// One group sees everything, two have a window of two pages.
Scheduler::Options interleaved() {
  return {.max_tokens_per_step = 16, .max_sequences = 4, .page_tokens = 4, .num_frames = 40, .context_length = 400, .windows = {{}, kWindow, kWindow}};
}

TEST(LayerGroupsScheduleTest, GroupsWithAWindowKeepWhatIsInSight) {
  Scheduler scheduler(interleaved());
  ASSERT_FALSE(scheduler.submit(1, count_up(30, 50)));
  const PagesInSight window(kWindow, 4, 16);
  int32_t longest = 0;
  while (scheduler.busy()) {
    const StepPlan plan = scheduler.plan();
    ASSERT_EQ(plan.rows.size(), 1u);
    const Sequence& sequence = scheduler.sequence(plan.rows[0]);
    const int32_t computed = plan.rows[0].first_position + plan.rows[0].num_tokens;
    const int32_t pages = (computed + 3) / 4;
    const PagesInSight::Range unseen = window.unseen_from(plan.rows[0].first_position);
    EXPECT_EQ(scheduler.frames_in_use(), 3 * pages - 2 * unseen.count_before(pages)) << computed;
    for (const SequenceGroup& group : sequence.groups) EXPECT_EQ(group.pages.size(), static_cast<size_t>(pages));
    longest = std::max(longest, computed);
    scheduler.commit(plan.rows[0], plan.rows[0].output == RowOutput::kNone ? std::nullopt : std::optional(7));
  }
  EXPECT_EQ(longest, 79);
  EXPECT_EQ(scheduler.frames_in_use(), 0);
}

// With all pages of all groups the pool would hold 13 pages of positions; the window's groups need 7 each at most while chunks of 16 are computed.
TEST(LayerGroupsScheduleTest, ASequenceMayBeLongerThanAllItsPagesInThePool) {
  Scheduler::Options options = interleaved();
  EXPECT_EQ(Scheduler(options).max_sequence_tokens(), 4 * (40 - 2 * 7) + 1);
  options.windows = {{}, {}, {}};
  EXPECT_EQ(Scheduler(options).max_sequence_tokens(), 4 * 13 + 1);
  options.windows = {kWindow, kWindow, kWindow};
  EXPECT_EQ(Scheduler(options).max_sequence_tokens(), 400);
  options.num_frames = 2;
  EXPECT_EQ(Scheduler(options).max_sequence_tokens(), 1);
  Scheduler scheduler(interleaved());
  const auto refusal = scheduler.submit(1, count_up(100, 10));
  ASSERT_TRUE(refusal);
  EXPECT_NE(refusal->find("need 42 KV pages, but the pool has 40: raise cache.device"), std::string::npos) << *refusal;
  EXPECT_FALSE(scheduler.submit(2, count_up(100, 5)));
}

TEST(LayerGroupsScheduleTest, WhatFellOutOfSightIsNotNeededByALaterOne) {
  Scheduler scheduler(interleaved());
  EXPECT_EQ(run_to_end(scheduler, 1, count_up(80, 1)).cached(), 0);  // 60 pages went through 40 frames: the first ones of the window's groups are gone
  const TokenSources again = run_to_end(scheduler, 2, count_up(80, 1));
  EXPECT_EQ(again.device, 79);
  EXPECT_EQ(again.computed, 1);
}

TEST(LayerGroupsScheduleTest, ABeginningWithoutItsWindowIsComputedAgain) {
  Scheduler scheduler(interleaved());
  run_to_end(scheduler, 1, count_up(80, 1));
  Request shorter = count_up(80, 1);  // goes on from where the window's pages were the first to go
  shorter.prompt[20] = 99;
  const TokenSources sources = run_to_end(scheduler, 2, shorter);
  EXPECT_EQ(sources.cached(), 0);
  EXPECT_EQ(sources.computed, 80);
}

TEST(LayerGroupsScheduleTest, AShorterBeginningIsFoundWhereItsWindowIs) {
  Scheduler::Options options = interleaved();
  options.num_frames = 200;
  Scheduler scheduler(options);
  run_to_end(scheduler, 1, count_up(80, 1));
  Request other = count_up(80, 1);
  other.prompt[42] = 99;
  EXPECT_EQ(run_to_end(scheduler, 2, other).device, 42);  // ten pages, and two tokens of the eleventh
}

// The sequence that sees nothing before its window goes on after a preemption from its last pages.
TEST(LayerGroupsScheduleTest, WhereAllHaveAWindowTheLastPagesAreEnough) {
  Scheduler::Options options = interleaved();
  options.windows = {{8, 2}, {8, 2}};
  options.num_frames = 20;
  Scheduler scheduler(options);
  run_to_end(scheduler, 1, count_up(200, 1));
  EXPECT_EQ(run_to_end(scheduler, 2, count_up(200, 1)).device, 199);
}

// Two groups' frames differ for the same page, and the plan says which is whose.
TEST(LayerGroupsScheduleTest, PlansNameTheGroupOfAFrame) {
  Scheduler scheduler(interleaved());
  ASSERT_FALSE(scheduler.submit(1, count_up(6, 1)));
  const StepPlan plan = decode_plan(encode(scheduler.plan()));
  std::set<std::pair<int32_t, int32_t>> pages;
  std::set<uint32_t> frames;
  for (const FrameUpdate& update : plan.frames) {
    pages.insert({update.group, update.index});
    frames.insert(update.page.frame);
  }
  EXPECT_EQ(pages.size(), 6u);
  EXPECT_EQ(frames.size(), 6u);
  EXPECT_TRUE(pages.contains({2, 1}));
}

TEST(LayerGroupsScheduleTest, RecordsSayWhichPagesAreOfUseAlone) {
  Scheduler::Options options = interleaved();
  options.num_host_frames = options.num_disk_frames = 100;
  Scheduler scheduler(options);
  ASSERT_FALSE(scheduler.submit(1, count_up(20, 1)));
  size_t alone = 0, in_chains = 0;
  const auto step = [&] {
    const StepPlan plan = decode_plan(encode(scheduler.plan()));
    for (const PageRecord& record : plan.records) ++(record.alone ? alone : in_chains);
    for (const PageMove& move : plan.moves) scheduler.tiers().settle(std::vector{MoveResult{move.id, MoveOutcome::kDone, 1, 1, 1}});
    for (const PlanRow& row : plan.rows) scheduler.commit(row, row.output == RowOutput::kNone ? std::nullopt : std::optional(7));
  };
  while (scheduler.busy()) step();
  while (scheduler.tiers().write_out()) step();
  EXPECT_EQ(in_chains, 5u);
  EXPECT_EQ(alone, 10u);
}

}  // namespace
}  // namespace terrace
