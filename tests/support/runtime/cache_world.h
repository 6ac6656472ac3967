// Ranks without numbers: executes step plans on pools whose frames hold token ids instead of K and V, moves pages with random delays and failures, and
// checks that every position a row attends holds the token that the sequence has there, also where all layers have a window. What the books get wrong shows as a wrong token.
#pragma once

#include <array>
#include <cstdint>
#include <random>
#include <vector>

#include "runtime/cache/page_table.h"
#include "runtime/scheduler.h"
#include "runtime/step_plan.h"

namespace terrace {

class CacheWorld {
 public:
  struct Options {
    int32_t page_tokens = 4;
    std::array<int32_t, kNumTiers> num_frames = {};
    int32_t num_slots = 4;
    AttentionWindow window = {};
    int num_ranks = 1;
    int fail_one_in = 0;  // moves; 0: none fails
    uint32_t seed = 1;
  };
  explicit CacheWorld(const Options& options);

  /// Runs the plan on every rank, checks every row against `scheduler`'s sequences, and settles the moves that have ended.
  void execute(const StepPlan& plan, Scheduler& scheduler);
  size_t num_moving() const { return moving_.size(); }
  uint64_t num_moved() const { return num_moved_; }

 private:
  using Page = std::vector<int32_t>;
  struct Moving {
    PageMove move;
    Page bytes;                   // of `from` when the move began
    std::vector<int> ranks_left;  // that have not reported it
  };

  Page& page(PageRef ref) { return pools_[static_cast<size_t>(ref.tier)].at(ref.frame); }
  void start(const PageMove& move);
  void finish_some(bool at_least_one, Scheduler& scheduler);
  void compute(const StepPlan& plan, Scheduler& scheduler);
  void check_row(const PlanRow& row, const Sequence& sequence);

  Options options_;
  std::mt19937 rng_;
  PageTables tables_;
  std::array<std::vector<Page>, kNumTiers> pools_;
  std::vector<Moving> moving_;
  uint64_t num_moved_ = 0;
};

}  // namespace terrace
