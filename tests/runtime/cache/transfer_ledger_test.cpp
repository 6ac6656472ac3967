// What rank 0 knows of moves in flight: when they have ended for all, how they ended, and how fast the links are.
#include "runtime/cache/transfer_ledger.h"

#include <gtest/gtest.h>

#include "kernels/base/error.h"

namespace terrace {
namespace {

using enum MoveOutcome;

constexpr PageRef kHostFrame = {Tier::kHost, 1};
constexpr PageRef kDeviceFrame = {Tier::kDevice, 2};

TEST(TransferLedgerTest, AMoveHasEndedWhenEveryRankSaysSoAndAsTheWorstOfThemSays) {
  TransferLedger ledger(2);
  const uint32_t id = ledger.start(7, kHostFrame, kDeviceFrame);
  EXPECT_TRUE(ledger.settle(std::vector<MoveResult>{{.id = id, .outcome = kChecksum}}).empty());
  const std::vector<TransferLedger::Settled> ended = ledger.settle(std::vector<MoveResult>{{.id = id, .outcome = kDone}});
  ASSERT_EQ(ended.size(), 1u);
  EXPECT_EQ(ended[0].page, 7u);
  EXPECT_EQ(ended[0].outcome, kChecksum);
  EXPECT_TRUE(ledger.empty());
  EXPECT_THROW(ledger.settle(std::vector<MoveResult>{{.id = id}}), Error);
}

TEST(TransferLedgerTest, IdsComeRoundWithoutZeroAndWithoutThoseInFlight) {
  TransferLedger ledger(1, UINT32_MAX - 1);
  EXPECT_EQ(ledger.start(7, kHostFrame, kDeviceFrame), UINT32_MAX);
  EXPECT_EQ(ledger.start(8, kHostFrame, kDeviceFrame), 1u);
  TransferLedger again(1, UINT32_MAX);
  EXPECT_EQ(again.start(7, kHostFrame, kDeviceFrame), 1u);
  EXPECT_EQ(again.start(8, kHostFrame, kDeviceFrame), 2u);
}

TEST(TransferLedgerTest, ARateIsTheTimeALinkWasBusyForEachPage) {
  TransferLedger ledger(1);
  EXPECT_EQ(ledger.us_per_page(Tier::kHost), std::nullopt);
  std::vector<MoveResult> results;
  for (int64_t i = 1; i <= 4; ++i) results.push_back({.id = ledger.start(7, kHostFrame, kDeviceFrame), .us = 5000 + 100 * i, .busy_us = 100});
  results.push_back({.id = ledger.start(8, kHostFrame, kDeviceFrame), .outcome = kChecksum, .us = 0, .busy_us = 0});  // tells nothing
  results.push_back({.id = ledger.start(9, kDeviceFrame, kHostFrame), .us = 9000, .busy_us = 9000});                  // the other way
  ledger.settle(results);
  EXPECT_EQ(ledger.us_per_page(Tier::kHost), 100);
  ledger.settle(std::vector<MoveResult>{{.id = ledger.start(7, kHostFrame, kDeviceFrame), .us = 900, .busy_us = 500}});
  EXPECT_EQ(ledger.us_per_page(Tier::kHost), 200);  // a quarter of the way
  EXPECT_EQ(ledger.us_per_page(Tier::kDisk), std::nullopt);
}

}  // namespace
}  // namespace terrace
