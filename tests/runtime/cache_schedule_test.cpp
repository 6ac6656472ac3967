// The books of the tiered cache under random schedules: sequences that begin alike, small pools, slow and failing moves. CacheWorld checks every position.
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

#include "runtime/scheduler.h"
#include "tests/support/runtime/cache_world.h"
#include "tests/support/runtime/schedule_run.h"

namespace terrace {
namespace {

using testing::count_up;
using testing::run_to_end;

// By looking at each page, what PageAges keeps count of.
PageAgeCounts counted_ages(const PrefixIndex& pages, Tier tier, int64_t second) {
  PageAgeCounts counts;
  for (PageId id = 0; id < pages.num_ids(); ++id) {
    const CachedPage& page = pages.at(id);
    if (!page.in(tier)) continue;
    size_t bucket = 0;
    while (bucket < kPageAgeBounds.size() && (page.let_go_second < 0 || second - page.let_go_second >= kPageAgeBounds[bucket])) ++bucket;
    ++(page.holds > 0 ? counts.held : counts.idle[bucket]);
  }
  return counts;
}

class CacheScheduleTest : public ::testing::TestWithParam<int> {
 protected:
  int pick(int low, int high) { return std::uniform_int_distribution<int>(low, high)(rng_); }

  // One of three documents, cut anywhere, and a tail of few different tokens: much is shared, and pages diverge in their middle.
  Request make_request() {
    Request request;
    const int document = pick(0, 2);
    const int length = pick(1, 50);
    for (int i = 0; i < length; ++i) request.prompt.push_back(document * 100 + i);
    for (int i = pick(0, 8); i > 0; --i) request.prompt.push_back(pick(1000, 1001));
    request.max_tokens = pick(1, 30);
    request.prompt_logprobs = pick(0, 8) == 0;
    if (!request.prompt_logprobs && pick(0, 6) == 0) {
      request.pooling = pick(0, 1) > 0 ? Pooling::kMean : Pooling::kLast;
      request.max_tokens = 0;
    }
    if (pick(0, 6) == 0) request.cache_salt = std::string(1, 't');
    request.cache_priority = pick(0, 3) == 0 ? pick(0, 100) : kDefaultPriority;
    request.sampling.temperature = 0;
    return request;
  }

  std::mt19937 rng_{static_cast<uint32_t>(GetParam())};
};

TEST_P(CacheScheduleTest, EveryRowAttendsTheTokensOfItsSequence) {
  Scheduler::Options options{.max_tokens_per_step = pick(4, 40), .max_sequences = pick(1, 6), .page_tokens = 1 << pick(0, 3), .num_frames = pick(4, 40),
                             .context_length = 96, .policy = pick(0, 1) > 0 ? "lru" : "reuse", .origin = ""};
  options.max_tokens_per_step = std::max(options.max_tokens_per_step, options.max_sequences);
  if (pick(0, 2) > 0) options.num_host_frames = pick(1, 40);
  if (options.num_host_frames > 0 && pick(0, 1) > 0) options.num_disk_frames = pick(1, 60);
  options.num_ranks = pick(1, 3);
  options.fetch = static_cast<FetchRule>(pick(0, 2));
  const auto window = [&] { return AttentionWindow{pick(1, 30), pick(0, 1) * pick(1, 6)}; };
  if (pick(0, 1) > 0) options.windows = {window()};
  if (pick(0, 1) > 0) {  // layers of several kinds
    if (pick(0, 3) > 0) options.windows.front() = {};
    for (int groups = pick(1, 3); groups > 0; --groups) options.windows.push_back(window());
    options.num_frames *= pick(1, 3);
  }
  if (pick(0, 2) == 0) {  // just enough for the longest sequence alone
    options.num_frames = 0;
    for (const AttentionWindow& each : options.windows) options.num_frames += static_cast<int32_t>(PagesInSight(each, options.page_tokens, options.max_tokens_per_step).most_at_a_time(options.context_length));
  }
  options.in_place = options.windows.front().size == 0 && options.num_host_frames > 1 && pick(0, 1) > 0;
  Scheduler scheduler(options);
  CacheWorld world({.page_tokens = options.page_tokens, .num_frames = {options.num_frames, options.num_host_frames, options.num_disk_frames},
                    .num_slots = options.max_sequences, .windows = options.windows, .num_ranks = options.num_ranks, .fail_one_in = pick(0, 2) == 0 ? 5 : 0,
                    .seed = static_cast<uint32_t>(GetParam())});
  std::set<SequenceId> in_flight;
  std::map<SequenceId, int32_t> num_states;  // of a mean, since it was begun last
  SequenceId next_id = 1;
  int to_submit = 60;
  int steps = 0;
  while (to_submit > 0 || scheduler.busy()) {
    ASSERT_LT(++steps, 20000) << "no progress";
    for (int arrivals = pick(0, 2); arrivals > 0 && to_submit > 0; --arrivals, --to_submit) {
      if (!scheduler.submit(next_id, make_request())) in_flight.insert(next_id);
      ++next_id;
    }
    if (pick(0, 15) == 0 && !in_flight.empty()) {
      const SequenceId victim = *std::next(in_flight.begin(), pick(0, static_cast<int>(in_flight.size()) - 1));
      ASSERT_TRUE(scheduler.cancel(victim));
      in_flight.erase(victim);
    }
    if (pick(0, 5) == 0) scheduler.tiers().write_behind();
    const int64_t second = 1000 + 11 * steps;
    scheduler.tiers().tick(second);
    const StepPlan plan = decode_plan(encode(scheduler.plan()));
    ASSERT_TRUE(!plan.rows.empty() || !scheduler.busy() || scheduler.tiers().moving()) << "nothing to do and nothing to wait for in step " << plan.step;
    world.execute(plan, scheduler);
    if (HasFatalFailure()) return;
    for (const Tier tier : {Tier::kDevice, Tier::kHost, Tier::kDisk}) {
      if (steps % 16 > 0) continue;  // each look goes through an hour's seconds
      ASSERT_EQ(scheduler.tiers().ages(tier), counted_ages(scheduler.tiers().pages(), tier, second)) << "tier " << static_cast<int>(tier);
    }
    for (const PlanRow& row : plan.rows) {
      const Sequence& sequence = scheduler.sequence(row);
      const SequenceId id = sequence.id;
      const bool sampled = row.output == RowOutput::kCandidates || row.output == RowOutput::kFullLogits;
      const int32_t token = 1000 + sequence.num_output() % 2;  // answers begin alike too
      if (sequence.request.pooling == Pooling::kMean) {  // every position, one after another
        if (row.first_position == 0) num_states[id] = 0;
        ASSERT_EQ(row.num_states(), row.num_tokens);
        ASSERT_EQ(row.first_position, num_states[id]);
        num_states[id] += row.num_states();
      } else if (sequence.request.pooling) {
        ASSERT_EQ(row.num_states(), row.first_position + row.num_tokens == sequence.num_prompt() ? 1 : 0);
      }
      if (scheduler.commit(row, sampled ? std::optional(token) : std::nullopt) != FinishReason::kNone) in_flight.erase(id);
    }
  }
  EXPECT_TRUE(in_flight.empty());
  while (scheduler.tiers().moving()) world.execute(scheduler.plan(), scheduler);
  EXPECT_EQ(scheduler.frames_in_use(), 0);
  while (scheduler.tiers().write_behind()) world.execute(scheduler.plan(), scheduler);
  while (scheduler.tiers().write_out()) world.execute(scheduler.plan(), scheduler);
  EXPECT_EQ(world.num_moving(), 0u);
}

INSTANTIATE_TEST_SUITE_P(Seeds, CacheScheduleTest, ::testing::Range(0, 200));

Scheduler::Options small_options() {
  return {.max_tokens_per_step = 32, .max_sequences = 4, .page_tokens = 4, .num_frames = 16, .context_length = 64, .policy = "lru", .origin = ""};
}

TEST(PrefixCacheTest, TakesOverFullPagesAndTheBeginningOfAnother) {
  Scheduler scheduler(small_options());
  EXPECT_EQ(run_to_end(scheduler, 1, count_up(20, 1)).cached(), 0);
  const TokenSources again = run_to_end(scheduler, 2, count_up(20, 1));
  EXPECT_EQ(again.device, 19);  // four pages, and three tokens of the fifth: the last token must be computed for its logits
  EXPECT_EQ(again.computed, 1);
  Request other = count_up(20, 1);
  other.prompt[10] = 99;
  EXPECT_EQ(run_to_end(scheduler, 3, other).device, 10);
}

TEST(PrefixCacheTest, FindsGeneratedTokensOfAnEarlierTurn) {
  Scheduler scheduler(small_options());
  run_to_end(scheduler, 1, count_up(6, 8));  // its 7 first answer tokens have K and V: 13 positions, three full pages
  Request turn = count_up(6, 1);
  for (int i = 0; i < 8; ++i) turn.prompt.push_back(7);
  turn.prompt.push_back(50);
  EXPECT_EQ(run_to_end(scheduler, 2, turn).device, 12);
}

TEST(PrefixCacheTest, PagesOfAHigherPriorityStay) {
  for (const std::string policy : {"lru", "reuse"}) {
    Scheduler::Options options = small_options();
    options.policy = policy;
    Scheduler scheduler(options);  // 16 frames
    const auto document = [](int32_t first, int32_t priority) {
      Request request = count_up(20, 1);
      for (int32_t& token : request.prompt) token += first;
      request.cache_priority = priority;
      return request;
    };
    run_to_end(scheduler, 1, document(100, 80));
    for (int32_t i = 0; i < 8; ++i) run_to_end(scheduler, static_cast<SequenceId>(2 + i), document(1000 + 100 * i, kDefaultPriority));
    EXPECT_EQ(run_to_end(scheduler, 20, document(100, 0)).device, 19) << policy;
    for (int32_t i = 0; i < 8; ++i) run_to_end(scheduler, static_cast<SequenceId>(30 + i), document(2000 + 100 * i, 90));
    EXPECT_EQ(run_to_end(scheduler, 40, document(100, 0)).device, 0) << policy << ": higher ones need its frames";
  }
}

TEST(PrefixCacheTest, SaltsKeepTenantsApart) {
  Scheduler scheduler(small_options());
  Request mine = count_up(20, 1);
  mine.cache_salt = std::string(1, 'a');
  run_to_end(scheduler, 1, mine);
  EXPECT_EQ(run_to_end(scheduler, 2, count_up(20, 1)).cached(), 0);
  EXPECT_EQ(run_to_end(scheduler, 3, mine).cached(), 19);
}

TEST(PrefixCacheTest, WaitsForAPageThatARunningSequenceComputes) {
  Scheduler::Options options = small_options();
  options.max_tokens_per_step = 8;
  options.num_frames = 40;
  Scheduler scheduler(options);
  for (SequenceId id = 1; id <= 3; ++id) scheduler.submit(id, count_up(32, 1));
  int64_t computed = 0;
  while (scheduler.busy()) {
    for (const PlanRow& row : scheduler.plan().rows) {
      computed += row.num_tokens;
      scheduler.commit(row, row.output == RowOutput::kNone ? std::nullopt : std::optional(7));
    }
  }
  EXPECT_EQ(computed, 32 + 1 + 1);
}

TEST(PrefixCacheTest, PromptLogprobsAreComputedWhateverIsCached) {
  Scheduler scheduler(small_options());
  run_to_end(scheduler, 1, count_up(20, 1));
  Request scored = count_up(20, 1);
  scored.prompt_logprobs = true;
  EXPECT_EQ(run_to_end(scheduler, 2, scored).cached(), 0);
}

// A tenth of what all of them need at once: they take turns on the device, and what is moved stays in proportion to what is computed.
TEST(PrefixCacheTest, APoolOfATenthOfTheDemandDoesNotThrash) {
  for (const int32_t host_frames : {0, 400}) {
    Scheduler::Options options = small_options();
    options.max_sequences = 20;
    options.num_frames = 36;  // 20 sequences of 70 tokens in pages of 4: 360
    options.num_host_frames = host_frames;
    options.context_length = 96;
    options.fetch = FetchRule::kAlways;
    Scheduler scheduler(options);
    CacheWorld world({.page_tokens = 4, .num_frames = {options.num_frames, host_frames, 0}, .num_slots = 20, .num_ranks = 1, .fail_one_in = 0, .seed = 1});
    for (int i = 0; i < 20; ++i) {
      Request request = count_up(40, 30);
      for (int32_t& token : request.prompt) token += 100 * i;
      ASSERT_FALSE(scheduler.submit(static_cast<SequenceId>(i + 1), request));
    }
    int64_t computed = 0;
    for (int step = 0; scheduler.busy(); ++step) {
      ASSERT_LT(step, 5000);
      const StepPlan plan = scheduler.plan();
      world.execute(plan, scheduler);
      for (const PlanRow& row : plan.rows) {
        computed += row.num_tokens;
        scheduler.commit(row, row.output == RowOutput::kNone ? std::nullopt : std::optional(7));
      }
    }
    const int64_t generated = 20 * 30;
    EXPECT_LE(computed, 20 * 70 * 5 / 4) << host_frames;  // at most a quarter of it twice
    EXPECT_LE(static_cast<int64_t>(world.num_moved()), generated) << host_frames;
  }
}

// Copied tokens move its window on before its first chunk.
TEST(PrefixCacheTest, ACopiedPageNeedsNoFrameMoreThanASequenceMayHave) {
  Scheduler::Options options = small_options();
  options.windows = {{6, 0}};
  options.max_tokens_per_step = 6;
  options.max_sequences = 1;
  options.num_frames = static_cast<int32_t>(PagesInSight(options.windows.front(), 4, 6).most_at_a_time(64));
  Scheduler scheduler(options);
  Request longer = count_up(36, 1);
  run_to_end(scheduler, 1, longer);
  longer.prompt.pop_back();
  for (int32_t i = 0; i < 20; ++i) longer.prompt.push_back(100 + i);
  EXPECT_EQ(run_to_end(scheduler, 2, longer).device, 35);
}

// Its pages come from the disk by a host tier that holds a third of them at a time; whoever comes later may not have the room that it waits for.
TEST(PrefixCacheTest, YoungerSequencesDoNotTakeTheRoomOfOneThatFetches) {
  Scheduler::Options options = small_options();
  options.num_frames = 40;
  options.num_host_frames = 10;
  options.num_disk_frames = 200;
  options.context_length = 160;
  options.max_sequences = 20;
  options.fetch = FetchRule::kAlways;
  Scheduler scheduler(options);
  CacheWorld world({.page_tokens = 4, .num_frames = {40, 10, 200}, .num_slots = 20, .num_ranks = 1, .fail_one_in = 0, .seed = 1});
  SequenceId next_id = 1;
  std::map<SequenceId, int32_t> started;  // step
  int32_t step = 0;
  const auto run_step = [&] {
    const StepPlan plan = scheduler.plan();
    world.execute(plan, scheduler);
    ++step;
    for (const PlanRow& row : plan.rows) {
      started.try_emplace(scheduler.sequence(row).id, step);
      scheduler.commit(row, row.output == RowOutput::kNone ? std::nullopt : std::optional(7));
    }
  };
  const auto settle = [&] {
    while (scheduler.busy() || scheduler.tiers().moving()) run_step();
    while (scheduler.tiers().write_out()) run_step();
  };
  const Request long_one = count_up(121, 1);
  ASSERT_FALSE(scheduler.submit(next_id++, long_one));
  settle();
  ASSERT_FALSE(scheduler.submit(next_id, long_one));
  const SequenceId waiting = next_id++;
  for (int i = 0; i < 400 && !started.contains(waiting); ++i) {
    Request request = count_up(24, 12);
    for (int32_t& token : request.prompt) token += 1000 * (i + 1);
    ASSERT_FALSE(scheduler.submit(next_id++, request));
    run_step();
  }
  ASSERT_TRUE(started.contains(waiting)) << "overtaken by " << started.size() - 2;
  EXPECT_LE(started.size(), 12u);
}

TEST(PrefixCacheTest, OffKeepsNothing) {
  Scheduler::Options options = small_options();
  options.keep_prefixes = false;
  Scheduler scheduler(options);
  run_to_end(scheduler, 1, count_up(20, 1));
  EXPECT_EQ(run_to_end(scheduler, 2, count_up(20, 1)).cached(), 0);
  EXPECT_EQ(scheduler.tiers().pages().size(), 0u);
}

}  // namespace
}  // namespace terrace
