// Ranks without numbers: executes step plans on pools whose frames hold token ids and a mark of their layer group instead of K and V, moves pages with random delays and failures, and
// checks that every position a row attends holds the token that the sequence has there, and in each layer group, also where groups have windows. What the books get wrong shows as a wrong token.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <random>
#include <span>
#include <vector>

#include "runtime/cache/page_table.h"
#include "runtime/scheduler.h"
#include "runtime/step_plan.h"

namespace terrace {

/// What a rank's next report says of a move.
enum class MoveFate { kDone, kNotYet, kFailed };

class CacheWorld {
 public:
  struct Options {
    int32_t page_tokens = 4;
    std::array<int32_t, kNumTiers> num_frames = {};
    int32_t num_slots = 4;
    std::vector<AttentionWindow> windows = {AttentionWindow{}};  // by layer group
    int num_ranks = 1;
    int fail_one_in = 0;  // moves; 0: none fails
    uint32_t seed = 1;
    std::function<MoveFate(const PageMove&)> fate = {};  // asked for each rank that has not reported the move, failures are checksums'; empty: random
  };
  using Page = std::vector<int32_t>;
  struct Moving {
    PageMove move;
    Page bytes;                   // of `from` when the move began
    Page written;                 // to `to` until it has ended
    std::vector<int> ranks_left;  // that have not reported it
  };
  explicit CacheWorld(const Options& options);

  /// Runs the plan on every rank, checks every row against `scheduler`'s sequences, and settles the moves that have ended.
  void execute(const StepPlan& plan, Scheduler& scheduler);
  int32_t num_groups() const { return static_cast<int32_t>(options_.windows.size()); }
  size_t num_moving() const { return moving_.size(); }
  uint64_t num_moved() const { return num_moved_; }
  std::span<const Moving> moving() const { return moving_; }
  const PageTables& tables() const { return tables_; }
  /// What a frame holds of a token for a layer group.
  static int32_t marked(int32_t token, int32_t group) { return token + 100'000 * group; }
  const Page& page(PageRef ref) const { return pools_[static_cast<size_t>(ref.tier)].at(ref.frame); }
  /// A frame that is free: whoever reads it from now on reads garbage.
  void spoil(PageRef ref);

 private:
  Page& page(PageRef ref) { return pools_[static_cast<size_t>(ref.tier)].at(ref.frame); }
  void start(const PageMove& move);
  MoveFate draw_fate(bool must_end);
  void finish_some(bool at_least_one, Scheduler& scheduler);
  void compute(const StepPlan& plan, Scheduler& scheduler);
  void compute_row(const PlanRow& row, std::span<const int32_t> tokens, int32_t group);
  void check_row(const PlanRow& row, const Sequence& sequence, int32_t group);

  Options options_;
  std::mt19937 rng_;
  PageTables tables_;
  std::array<std::vector<Page>, kNumTiers> pools_;
  std::vector<Moving> moving_;
  uint64_t num_moved_ = 0;
};

}  // namespace terrace
