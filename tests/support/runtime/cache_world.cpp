#include "tests/support/runtime/cache_world.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace terrace {
namespace {

constexpr int32_t kGarbage = -1;

}  // namespace

CacheWorld::CacheWorld(const Options& options) : options_(options), rng_(options.seed), tables_(options.num_slots, static_cast<int32_t>(options.windows.size())) {
  for (size_t tier = 0; tier < pools_.size(); ++tier) {
    pools_[tier].assign(static_cast<size_t>(options.num_frames[tier]), Page(static_cast<size_t>(options.page_tokens), kGarbage));
  }
}

void CacheWorld::execute(const StepPlan& plan, Scheduler& scheduler) {
  for (const SlotUpdate& u : plan.slot_updates) u.action == SlotAction::kOpen ? tables_.open(u.slot, u.sequence) : tables_.close(u.slot);
  for (const FrameUpdate& f : plan.frames) tables_.map(f.slot, f.group, f.index, f.page);
  ASSERT_EQ(tables_.digest(), plan.digest);
  for (const FrameCopy& copy : plan.copies) page({Tier::kDevice, copy.to}) = page({Tier::kDevice, copy.from});
  for (const PageMove& move : plan.moves) start(move);
  compute(plan, scheduler);
  finish_some(plan.rows.empty(), scheduler);
}

// The target holds garbage, or some come early: both may be looked at late only.
void CacheWorld::start(const PageMove& move) {
  Moving moving = {move, page(move.from), {}, {}};
  for (int rank = 0; rank < options_.num_ranks; ++rank) moving.ranks_left.push_back(rank);
  const bool early = move.is_check() || (!options_.fate && rng_() % 2 == 0);
  moving.written = early ? moving.bytes : Page(moving.bytes.size(), kGarbage);
  page(move.to) = moving.written;
  moving_.push_back(std::move(moving));
}

void CacheWorld::spoil(PageRef ref) { std::ranges::fill(page(ref), kGarbage); }

void CacheWorld::compute(const StepPlan& plan, Scheduler& scheduler) {
  std::span<const int32_t> tokens(plan.tokens);
  for (const PlanRow& row : plan.rows) {
    const Sequence& sequence = scheduler.sequence(row);
    for (int32_t group = 0; group < num_groups(); ++group) {
      ASSERT_NO_FATAL_FAILURE(compute_row(row, tokens, group)) << "step " << plan.step;
      ASSERT_NO_FATAL_FAILURE(check_row(row, sequence, group)) << "step " << plan.step;
    }
    tokens = tokens.subspan(static_cast<size_t>(row.num_tokens) + (row.output == RowOutput::kTokenLogprobs ? 1 : 0));
  }
}

void CacheWorld::compute_row(const PlanRow& row, std::span<const int32_t> tokens, int32_t group) {
  const auto size = static_cast<size_t>(options_.page_tokens);
  const std::span<const PageRef> pages = tables_.pages(row.slot, group);
  ASSERT_LE(static_cast<size_t>(row.first_position + row.num_tokens), pages.size() * size);
  for (int32_t i = 0; i < row.num_tokens; ++i) {
    const auto p = static_cast<size_t>(row.first_position + i);
    page(pages[p / size])[p % size] = marked(tokens[static_cast<size_t>(i)], group);
  }
}

// What its first token sees is all that any of them sees before it.
void CacheWorld::check_row(const PlanRow& row, const Sequence& sequence, int32_t group) {
  const std::span<const PageRef> pages = tables_.pages(row.slot, group);
  const KeyGap gap = options_.windows[static_cast<size_t>(group)].gap(row.first_position);
  for (int32_t p = 0; p < row.first_position + row.num_tokens; ++p) {
    if (p >= gap.begin && p < gap.end) continue;
    const PageRef at = pages[static_cast<size_t>(p / options_.page_tokens)];
    ASSERT_NE(at.frame, kNoFrame) << "sequence " << sequence.id << ", group " << group << ", position " << p;
    ASSERT_EQ(page(at)[static_cast<size_t>(p % options_.page_tokens)], marked(sequence.tokens[static_cast<size_t>(p)], group))
        << "sequence " << sequence.id << ", group " << group << ", position " << p;
  }
}

MoveFate CacheWorld::draw_fate(bool must_end) {
  if (rng_() % 3 == 0 && !must_end) return MoveFate::kNotYet;
  return options_.fail_one_in > 0 && rng_() % static_cast<unsigned>(options_.fail_one_in) == 0 ? MoveFate::kFailed : MoveFate::kDone;
}

void CacheWorld::finish_some(bool at_least_one, Scheduler& scheduler) {
  std::vector<std::vector<MoveResult>> reports(static_cast<size_t>(options_.num_ranks));
  for (size_t i = 0; i < moving_.size(); ++i) {
    Moving& moving = moving_[i];
    for (size_t k = moving.ranks_left.size(); k-- > 0;) {
      const MoveFate fate = options_.fate ? options_.fate(moving.move) : draw_fate(at_least_one && i == 0);
      if (fate == MoveFate::kNotYet) continue;
      const bool fails = fate == MoveFate::kFailed;
      const MoveOutcome outcome = !fails ? MoveOutcome::kDone : options_.fate || rng_() % 2 == 0 ? MoveOutcome::kChecksum : MoveOutcome::kIo;
      if (fails) std::ranges::fill(moving.bytes, kGarbage);
      reports[static_cast<size_t>(moving.ranks_left[k])].push_back({moving.move.id, outcome, 10, 10, 100});
      moving.ranks_left.erase(moving.ranks_left.begin() + static_cast<std::ptrdiff_t>(k));
    }
    if (!moving.ranks_left.empty()) continue;
    ASSERT_EQ(page(moving.move.to), moving.written) << "move " << moving.move.id << ": its target was written to meanwhile";
    if (moving.bytes.front() != kGarbage) {
      ASSERT_EQ(page(moving.move.from), moving.bytes) << "move " << moving.move.id << ": its source was written to meanwhile";
    }
    page(moving.move.to) = moving.bytes;
    ++num_moved_;
  }
  std::erase_if(moving_, [](const Moving& moving) { return moving.ranks_left.empty(); });
  for (const std::vector<MoveResult>& report : reports) scheduler.tiers().settle(report);
}

}  // namespace terrace
