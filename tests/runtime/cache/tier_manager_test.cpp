// What the books make of a disk that cannot be written. All else of them is tested under the scheduler (cache_schedule_test.cpp, page_states_test.cpp).
#include "runtime/cache/tier_manager.h"

#include <gtest/gtest.h>

#include <set>

namespace terrace {
namespace {

class BrokenDiskTest : public ::testing::Test {
 protected:
  /// Pages on the host, and nowhere else that matters.
  void make_pages(uint64_t count) {
    for (uint64_t i = 0; i < count; ++i) {
      const std::optional<PageId> page = tiers_.publish({{i + 1, i}, {}, 0, {static_cast<int32_t>(i), 2, 3, 4}}, *tiers_.take_frame());
      tiers_.let_go(*page);
    }
    settle_all(tiers_.plan_moves(++step_), MoveOutcome::kDone);
  }
  void settle_all(const MovePlan& plan, MoveOutcome outcome) {
    for (const PageMove& move : plan.moves) tiers_.settle(std::vector<MoveResult>{{.id = move.id, .outcome = outcome}});
  }

  TierManager tiers_{{.page_tokens = 4, .num_frames = {16, 16, 100}, .spare_frames = 16, .write_through = true}};
  int64_t step_ = 0;
};

TEST_F(BrokenDiskTest, AFrameThatCannotBeWrittenIsNotTriedAgain) {
  make_pages(3);
  std::set<uint32_t> tried;
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(tiers_.write_behind());
    const MovePlan plan = tiers_.plan_moves(++step_);
    ASSERT_EQ(plan.moves.size(), 3u);
    for (const PageMove& move : plan.moves) EXPECT_TRUE(tried.insert(move.to.frame).second) << move.to.frame;
    settle_all(plan, MoveOutcome::kIo);
  }
  EXPECT_EQ(tiers_.num_used(Tier::kHost), 3);  // what could not be written stays where it was
}

TEST_F(BrokenDiskTest, IsLeftAloneAfterSomeFailuresInARow) {
  make_pages(10);
  ASSERT_TRUE(tiers_.write_behind());
  settle_all(tiers_.plan_moves(++step_), MoveOutcome::kIo);
  EXPECT_FALSE(tiers_.write_behind());
  EXPECT_FALSE(tiers_.write_out());
  EXPECT_TRUE(tiers_.plan_moves(++step_).moves.empty());
}

TEST_F(BrokenDiskTest, ADamagedHostPageIsNotTriedAgainEither) {
  make_pages(1);
  ASSERT_TRUE(tiers_.write_behind());
  settle_all(tiers_.plan_moves(++step_), MoveOutcome::kChecksum);
  EXPECT_FALSE(tiers_.write_behind());
  EXPECT_EQ(tiers_.num_used(Tier::kHost), 0);
  EXPECT_EQ(tiers_.num_used(Tier::kDisk), 0);
}

TEST_F(BrokenDiskTest, AWriteThatIsDoneEndsTheRow) {
  make_pages(2);
  for (int i = 0; i < 8; ++i) {
    ASSERT_TRUE(tiers_.write_behind());
    const MovePlan plan = tiers_.plan_moves(++step_);
    tiers_.settle(std::vector<MoveResult>{{.id = plan.moves[0].id, .outcome = MoveOutcome::kIo}});
    if (plan.moves.size() < 2) break;  // all is written
    tiers_.settle(std::vector<MoveResult>{{.id = plan.moves[1].id, .outcome = MoveOutcome::kDone}});
    make_pages(static_cast<uint64_t>(i) + 3);
  }
  EXPECT_TRUE(tiers_.write_behind());
}

}  // namespace
}  // namespace terrace
