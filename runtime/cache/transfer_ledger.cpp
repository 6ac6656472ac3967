#include "runtime/cache/transfer_ledger.h"

#include <algorithm>
#include <string>

#include "kernels/base/error.h"

namespace terrace {

uint32_t TransferLedger::start(PageId page, PageRef from, PageRef to) {
  do ++last_id_;
  while (last_id_ == 0 || in_flight_.contains(last_id_));  // ids come round; 0 is a page that doesn't move
  in_flight_[last_id_] = {{page, from, to, MoveOutcome::kDone}, num_ranks_};
  return last_id_;
}

std::vector<TransferLedger::Settled> TransferLedger::settle(std::span<const MoveResult> results) {
  measure(results);
  std::vector<Settled> ended;
  for (const MoveResult& result : results) {
    const auto entry = in_flight_.find(result.id);
    if (entry == in_flight_.end()) {
      throw Error(ErrorCode::kPlanMismatch, "a rank reports page move " + std::to_string(result.id) + ", which rank 0 did not plan or has seen end");
    }
    entry->second.move.outcome = std::max(entry->second.move.outcome, result.outcome);
    if (--entry->second.ranks_left > 0) continue;
    ended.push_back(entry->second.move);
    in_flight_.erase(entry);
  }
  return ended;
}

// Moves of one plan wait for one another, so what counts is how long the link was busy with each.
void TransferLedger::measure(std::span<const MoveResult> results) {
  constexpr double kWeightOfNew = 0.25;
  struct Batch {
    int64_t us = 0;
    int count = 0;
  };
  std::array<Batch, kNumTiers> batches;
  for (const MoveResult& result : results) {
    const auto entry = in_flight_.find(result.id);
    if (entry == in_flight_.end() || result.outcome != MoveOutcome::kDone || entry->second.move.to.tier >= entry->second.move.from.tier) continue;
    Batch& batch = batches[static_cast<size_t>(entry->second.move.from.tier)];
    batch.us += result.busy_us;
    ++batch.count;
  }
  for (size_t tier = 0; tier < batches.size(); ++tier) {
    if (batches[tier].count == 0) continue;
    const double measured = static_cast<double>(batches[tier].us) / batches[tier].count;
    std::optional<double>& known = us_per_page_[tier];
    known = known ? *known + kWeightOfNew * (measured - *known) : measured;
  }
}

}  // namespace terrace
