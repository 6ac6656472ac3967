#include "kernels/attention_planner.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <tuple>

namespace terrace {
namespace {

int32_t position_of(const AttentionRun& run, int32_t token) { return run.first_position + token - run.first_token; }

bool sees(const AttentionWindow& window, int32_t position, int32_t key) {
  return key <= position && (window.size == 0 || key > position - window.size || key < window.sinks);
}

/// The pieces of which the query sees a key, in order.
std::vector<int32_t> pieces_of(const AttentionWindow& window, int32_t position) {
  std::vector<int32_t> pieces;
  for (int32_t key = 0; key <= position; ++key) {
    const int32_t piece = key / kAttentionSplit;
    if (sees(window, position, key) && (pieces.empty() || pieces.back() != piece)) pieces.push_back(piece);
  }
  return pieces;
}

/// Fails unless the plan covers every (token, kv head, key) of the runs once, on the grid, and joins partials in order.
void check_plan(const AttentionPlan& plan, const std::vector<AttentionRun>& runs, const AttentionShape& shape) {
  std::map<std::pair<int32_t, int32_t>, int> folded;                    // (token, kv head)
  std::map<std::tuple<int32_t, int32_t, int32_t>, int32_t> partial_of;  // (token, kv head, piece) -> partial
  std::map<int32_t, int> partial_uses;
  for (const AttentionTask& task : plan.tasks) {
    const AttentionRun& run = runs[static_cast<size_t>(task.run)];
    ASSERT_GT(task.num_tokens, 0);
    ASSERT_GT(task.num_kv_heads, 0);
    ASSERT_LE(task.num_kv_heads, task.num_tokens == 1 ? shape.heads_together : 1);
    ASSERT_LE(task.num_tokens, shape.tile_tokens);
    ASSERT_GE(task.first_token, run.first_token);
    ASSERT_LE(task.first_token + task.num_tokens, run.first_token + run.num_tokens);
    ASSERT_EQ(task.kv_begin % kAttentionSplit, 0);
    const int32_t last_position = position_of(run, task.first_token + task.num_tokens - 1);
    const int32_t first_position = position_of(run, task.first_token);
    ASSERT_EQ(task.gap.end, shape.window.gap(first_position).end);
    ASSERT_EQ(task.gap.begin, shape.window.sinks);
    for (int32_t i = 0; i < task.num_tokens * task.num_kv_heads; ++i) {  // tokens of a head, or heads of a token
      const int32_t token = task.first_token + i / task.num_kv_heads;
      const int32_t kv_head = task.kv_head + i % task.num_kv_heads;
      if (task.partial < 0) {
        ASSERT_EQ(task.kv_begin, pieces_of(shape.window, first_position).front() * kAttentionSplit);
        ASSERT_EQ(task.kv_end, last_position + 1);
        ++folded[{token, kv_head}];
      } else {
        ASSERT_LE(task.kv_end - task.kv_begin, kAttentionSplit);
        ASSERT_EQ(task.kv_end, std::min(last_position + 1, task.kv_begin + kAttentionSplit));
        ASSERT_LT(task.partial + i, plan.num_partials);
        ASSERT_EQ(++partial_uses[task.partial + i], 1);
        partial_of[{token, kv_head, task.kv_begin / kAttentionSplit}] = task.partial + i;
      }
    }
  }
  std::map<std::pair<int32_t, int32_t>, AttentionMerge> merges;
  for (const AttentionMerge& merge : plan.merges)
    ASSERT_TRUE(merges.insert({{merge.token, merge.kv_head}, merge}).second);
  for (const AttentionRun& run : runs) {
    for (int32_t token = run.first_token; token < run.first_token + run.num_tokens; ++token) {
      for (int32_t kv_head = 0; kv_head < shape.num_kv_heads; ++kv_head) {
        const auto merge = merges.find({token, kv_head});
        ASSERT_EQ((folded[{token, kv_head}]), merge == merges.end() ? 1 : 0);
        if (merge == merges.end()) continue;
        const std::vector<int32_t> pieces = pieces_of(shape.window, position_of(run, token));
        ASSERT_EQ(merge->second.num_pieces, static_cast<int32_t>(pieces.size()));
        for (int32_t i = 0; i < merge->second.num_pieces; ++i) {
          const auto partial = partial_of.find({token, kv_head, pieces[static_cast<size_t>(i)]});
          ASSERT_NE(partial, partial_of.end());
          ASSERT_EQ(partial->second, merge->second.partial(i));
        }
      }
    }
  }
}

int64_t keys(const AttentionTask& task) { return task.kv_end - task.kv_begin; }

TEST(AttentionPlannerTest, CoversEveryKeyOnceOnTheGridWhateverTheMachine) {
  std::mt19937 random(7);
  const auto below = [&random](int32_t limit) { return static_cast<int32_t>(random() % static_cast<uint32_t>(limit)); };
  for (int round = 0; round < 300; ++round) {
    std::vector<AttentionRun> runs;
    int32_t token = 0;
    for (int32_t i = below(6); i >= 0; --i) {
      const int32_t num_tokens = below(2) != 0 ? 1 : 1 + below(300);
      runs.push_back({token, num_tokens, below(3) != 0 ? below(3000) : 0, 0});
      token += num_tokens;
    }
    AttentionShape shape{1 + below(5), 1 + below(8), 1 + below(32), 1 + below(4)};
    if (below(2) != 0) shape.window = {1 + below(1200), below(2) != 0 ? below(700) : 0};
    check_plan(plan_attention(runs, shape), runs, shape);
    if (HasFatalFailure()) return;
  }
}

TEST(AttentionPlannerTest, DealsOneLongDecodeRowToAllWorkers) {
  const std::vector<AttentionRun> runs = {{0, 1, 8191, 0}};
  const AttentionPlan plan = plan_attention(runs, {3, 2, 16});
  EXPECT_EQ(plan.tasks.size(), 3u * 32u);
  EXPECT_EQ(plan.merges.size(), 3u);
}

TEST(AttentionPlannerTest, KeepsTheHeadsOfADecodeRowTogetherButForWhatDoesNotComeOutEven) {
  const std::vector<AttentionRun> runs = {{0, 1, 8191, 0}};
  EXPECT_EQ(plan_attention(runs, {3, 2, 16, 4}).tasks.size(), 32u);
  EXPECT_EQ(plan_attention(runs, {3, 3, 16, 4}).tasks.size(), 30u + 3u * 2u);
  EXPECT_EQ(plan_attention(runs, {3, 1, 16, 4}).tasks.size(), 1u);
  EXPECT_EQ(plan_attention(runs, {5, 2, 16, 4}).tasks.front().num_kv_heads, 3);  // and 2: alike rather than 4 and 1
  EXPECT_EQ(plan_attention(std::vector<AttentionRun>{{0, 1, 200, 0}}, {3, 2, 16, 4}).tasks.size(), 3u);
  EXPECT_EQ(plan_attention(runs, {3, 2, 16, 4}).merges.size(), 3u);
}

TEST(AttentionPlannerTest, FoldsWhereThereIsEnoughForEveryWorker) {
  std::vector<AttentionRun> runs;
  for (int32_t i = 0; i < 32; ++i) runs.push_back({i, 1, 1000 + i, 0});
  EXPECT_TRUE(plan_attention(runs, {3, 2, 16}).merges.empty());
  EXPECT_TRUE(plan_attention(std::vector<AttentionRun>{{0, 1, 8191, 0}}, {3, 1, 16}).merges.empty());
}

// A partial of 8 query heads of 128 is 4 KiB: at the ends of long contexts they must not outgrow the memory that was planned.
TEST(AttentionPlannerTest, FoldsWhatWouldNeedTooManyPartials) {
  const std::vector<AttentionRun> chunk = {{0, 512, 130560, 0}};
  const AttentionShape shape = {1, 64, 24};
  const AttentionPlan plan = plan_attention(chunk, shape);
  EXPECT_LE(plan.num_partials, 8192);
  check_plan(plan, chunk, shape);
  std::vector<AttentionRun> decodes;
  for (int32_t i = 0; i < 4; ++i) decodes.push_back({i, 1, 131071, 0});
  const AttentionPlan some = plan_attention(decodes, {8, 64, 24, 1});
  EXPECT_GT(some.num_partials, 0);  // as many as fit are still split
  EXPECT_LE(some.num_partials, 8192);
  check_plan(some, decodes, {8, 64, 24, 1});
}

TEST(AttentionPlannerTest, StartsWithTheLongestTask) {
  const std::vector<AttentionRun> runs = {{0, 1, 10, 0}, {1, 40, 0, 0}, {41, 1, 2000, 0}};
  const AttentionPlan plan = plan_attention(runs, {2, 1, 16});
  ASSERT_FALSE(plan.tasks.empty());
  EXPECT_EQ(plan.tasks.front().run, 2);
  EXPECT_EQ(keys(plan.tasks.front()), 2001);
  EXPECT_EQ(keys(plan.tasks.back()), 11);
}

TEST(AttentionPlannerTest, AWindowCostsWhatIsInIt) {
  const auto planned_keys = [](const AttentionPlan& plan) {
    int64_t sum = 0;
    for (const AttentionTask& task : plan.tasks) sum += task.num_kv_heads * (keys(task) - std::max(0, std::min(task.gap.end, task.kv_end) - std::max(task.gap.begin, task.kv_begin)));
    return sum;
  };
  for (const int32_t num_workers : {1, 2, 100}) {
    for (const int32_t position : {5000, 50000, 130000}) {
      const AttentionPlan plan = plan_attention(std::vector<AttentionRun>{{0, 1, position, 0}}, {3, num_workers, 16, 1, {1000, 4}});
      EXPECT_EQ(planned_keys(plan), 3 * 1004);
      EXPECT_LE(plan.tasks.size(), 3u * 6u);
    }
  }
}

TEST(AttentionPlannerTest, PlansNothingForAnEmptyStep) {
  const AttentionPlan plan = plan_attention({}, {3, 2, 16});
  EXPECT_TRUE(plan.tasks.empty());
  EXPECT_TRUE(plan.merges.empty());
}

}  // namespace
}  // namespace terrace
